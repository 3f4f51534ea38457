// Command fff-writer stages packed cells as Parquet files.
package main

import (
	"context"
	"os"

	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-writer", func(_ context.Context, cfg writer.Config, d service.Deps) (service.Service, error) {
		return writer.New(cfg, d), nil
	}))
}
