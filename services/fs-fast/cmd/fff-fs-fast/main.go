// Command fff-fs-fast asks the feature service for families of the fast lane.
package main

import (
	"context"
	"os"

	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-fs-fast", func(_ context.Context, cfg fsfast.Config, d service.Deps) (service.Service, error) {
		return fsfast.New(cfg, d), nil
	}))
}
