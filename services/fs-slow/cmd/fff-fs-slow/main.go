// Command fff-fs-slow asks the feature service for families of the slow lane.
package main

import (
	"context"
	"os"

	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-fs-slow", func(_ context.Context, cfg fsslow.Config, d service.Deps) (service.Service, error) {
		return fsslow.New(cfg, d), nil
	}))
}
