// Command fff fetches features for training sets; see `fff --help`.
package main

import (
	"context"
	"os"

	"github.com/fastfeaturefetch/fff/services/fff"
)

func main() {
	os.Exit(fff.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
