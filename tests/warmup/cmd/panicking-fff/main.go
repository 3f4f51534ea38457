// Command panicking-fff is fff with a goroutine that panics once a file is there: to the
// services of the same process that is what a panic in any of them is.
package main

import (
	"context"
	"os"
	"time"

	"github.com/fastfeaturefetch/fff/services/fff"
)

func main() {
	go func() {
		for len(os.Args) > 1 && os.Args[1] == "run" {
			if _, err := os.Stat(os.Getenv("PANIC_WHEN")); err == nil {
				panic("a service has a bug")
			}
			time.Sleep(time.Millisecond)
		}
	}()
	os.Exit(fff.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
