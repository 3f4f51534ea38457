package fetch_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/fastfeaturefetch/fff/fetch"
)

// The run file of the examples. With Config.Sandbox stand-ins take the backends' place.
const exampleFile = `
run: example
families: [{id: credit}, {id: sms}, {id: session, lane: slow, cached: false}]
dynamodb: {table: features, partition_key: {name: user_id, value: "{user_id}"}, sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}}
feature_service: {url: "http://127.0.0.1:8090/features"}
warm_up: {target_duration: 1s, dynamodb: {max_read_units: 200}}
`

// monthEnds gives one record a user: what a program reads from wherever it has its samples.
func monthEnds(users int) iter.Seq2[fetch.Record, error] {
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()
	return func(yield func(fetch.Record, error) bool) {
		for i := range users {
			if !yield(fetch.Record{UserID: fmt.Sprintf("user-%d", i), EpochMS: at}, nil) {
				return
			}
		}
	}
}

// A program that fetches the features of its samples. All runs in this process: broker,
// services and, because of Sandbox, stand-ins for the backends.
func Example() {
	program := func(ctx context.Context) (err error) {
		out, err := os.MkdirTemp("", "example-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(out)
		run, err := fetch.Open(ctx, fetch.Config{RunFile: []byte(exampleFile), OutputDir: out, Sandbox: true})
		if err != nil {
			return err
		}
		defer func() {
			if down := run.Close(); err == nil { // also on panic
				err = down
			}
		}()
		status, err := run.Fetch(ctx, monthEnds(200))
		if err != nil {
			return err
		}
		fmt.Println(status.State, status.Samples, "samples", status.Committed, "cells")
		return nil
	}
	if err := program(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: completed 200 samples 600 cells
}

// The parts of Fetch one by one: Publish gives the records, WarmUp waits until what the run
// file's warm_up names is up, Wait until all is fetched and down again.
func ExampleRun_WarmUp() {
	program := func(ctx context.Context) error {
		out, err := os.MkdirTemp("", "example-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(out)
		run, err := fetch.Open(ctx, fetch.Config{RunFile: []byte(exampleFile), OutputDir: out, Sandbox: true})
		if err != nil {
			return err
		}
		defer run.Close()
		if err := run.Publish(ctx, monthEnds(1000)); err != nil {
			return err
		}
		if err := run.WarmUp(ctx); err != nil {
			return err
		}
		status, err := run.Status(ctx)
		if err != nil {
			return err
		}
		for _, r := range status.WarmUp {
			fmt.Printf("%s: %s, raised to %s\n", r.Resource, r.Before, r.Raised)
		}
		status, err = run.Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Println(status.State)
		return nil
	}
	if err := program(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// table features: read_units 50, raised to read_units 200
	// completed
}

// Records that come from elsewhere, such as a queue, are given as they come. The iterator ends
// when Done is closed: the run has ended, or its context.
func ExampleRun_Done() {
	var queue chan fetch.Record
	follow := func(ctx context.Context, run *fetch.Run) (*fetch.Status, error) {
		return run.Fetch(ctx, func(yield func(fetch.Record, error) bool) {
			for {
				select {
				case r, more := <-queue:
					if !more || !yield(r, nil) {
						return
					}
				case <-run.Done():
					return
				}
			}
		})
	}
	_ = follow
}

// A job for a system that runs elsewhere, which goes on with it when this program has ended.
func ExampleRun_Publish() {
	submit := func(ctx context.Context) error {
		run, err := fetch.Open(ctx, fetch.Config{File: "run.yaml", NATS: "nats://broker:4222", Detach: true})
		if err != nil {
			return err
		}
		defer run.Close() // the connection alone
		return run.Publish(ctx, monthEnds(1_000_000))
	}
	_ = submit
}
