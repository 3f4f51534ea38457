// Command fff-dynamo-fetcher looks cached families up in DynamoDB.
package main

import (
	"context"
	"os"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/shared/service"
)

func main() {
	os.Exit(service.Main("fff-dynamo-fetcher", func(ctx context.Context, cfg dynamofetcher.Config, d service.Deps) (service.Service, error) {
		return dynamofetcher.New(ctx, cfg, d)
	}))
}
