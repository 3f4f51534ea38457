// Command fff-sandbox runs stand-ins for DynamoDB and a feature service. Its settings
// are environment variables that begin with FFF_SANDBOX_; `fff config` lists them.
//
//	fff-sandbox [run.yaml]
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fastfeaturefetch/fff/services/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := sandbox.Main(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fff-sandbox:", err)
		os.Exit(1)
	}
}
