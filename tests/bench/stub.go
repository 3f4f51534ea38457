package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// serveStub is the process of the stub: its configuration is its argument, its address the
// first line of its output.
func serveStub(ctx context.Context, args []string) error {
	var cfg stub.Config
	if len(args) != 1 {
		return errors.New("stub: want its configuration as JSON")
	}
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := stub.New(cfg)
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the process ends
	}()
	fmt.Println(l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.Counts.Read())
}
