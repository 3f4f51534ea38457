// Command fff-orchestrator opens, commits, proves and tears down runs.
package main

import (
	"context"
	"os"

	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-orchestrator", func(_ context.Context, cfg orchestrator.Config, d service.Deps) (service.Service, error) {
		return orchestrator.New(cfg, d), nil
	}))
}
