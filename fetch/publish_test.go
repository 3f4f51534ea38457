package fetch

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

func TestBatchesAreBounded(t *testing.T) {
	var sizes []int
	b := &batcher{source: "f", send: func(batch control.Batch) error {
		if len(batch.Data) > work.MaxPublishBytes {
			t.Errorf("batch %s has %d bytes", batch.ID, len(batch.Data))
		}
		sizes = append(sizes, strings.Count(string(batch.Data), "\n"))
		return nil
	}}
	for _, n := range []int{10, work.MaxPublishBytes - 20, 10, 10} {
		if err := b.add([]byte(strings.Repeat("x", n))); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * MaxBatchRecords {
		if err := b.add([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sizes) != "[2 500 500 2]" || b.total != 1004 {
		t.Errorf("batches of %v, %d in all", sizes, b.total)
	}
}

// TestNothingIsPublishedBehindAPanic: batches that wait for the broker are given up, and
// awaited, before the iterator's panic goes on.
func TestNothingIsPublishedBehindAPanic(t *testing.T) {
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop(context.WithoutCancel(t.Context()))
	s, err := system.Connect(t.Context(), settings.NATS{URL: server.URL()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := streams.Ensure(t.Context(), s.Broker.JS, 1); err != nil {
		t.Fatal(err)
	}
	full, err := s.Broker.JS.Stream(t.Context(), streams.Ingest)
	if err != nil {
		t.Fatal(err)
	}
	bounds := full.CachedInfo().Config
	bounds.MaxMsgs = 1
	if _, err := s.Broker.JS.UpdateStream(t.Context(), bounds); err != nil {
		t.Fatal(err)
	}
	file, err := runfile.Parse("run.yaml", []byte("run: job\nfamilies: [{id: a, cached: false}]\nfeature_service: {url: \"http://127.0.0.1:1/\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan struct{})
	var once sync.Once
	r := &Run{cfg: Config{Note: func(string) { once.Do(func() { close(waits) }) }}, file: file, system: s}
	r.alive, r.died = context.WithCancelCause(t.Context())
	r.wanted, r.enough = context.WithCancelCause(r.alive)
	defer func() {
		if p := recover(); p != "a bug of the program" {
			t.Errorf("the panic became %v", p)
		}
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(all.String(), "(*Publisher).send") {
			t.Error("a batch is still on its way")
		}
	}()
	err = r.Publish(t.Context(), func(yield func(Record, error) bool) {
		for i := range 3 * MaxBatchRecords {
			yield(Record{UserID: fmt.Sprint(i)}, nil)
		}
		<-waits
		panic("a bug of the program")
	})
	t.Errorf("no panic, but %v", err)
}
