// Command fff-ingest turns record batches into requests.
package main

import (
	"context"
	"os"

	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-ingest", func(_ context.Context, cfg ingest.Config, d service.Deps) (service.Service, error) {
		return ingest.New(cfg, d), nil
	}))
}
