package goroutine_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/goroutine"
)

func TestAllRun(t *testing.T) {
	var wg sync.WaitGroup
	var ran atomic.Int64
	for range 100 {
		goroutine.Go(&wg, func() { ran.Add(1) })
	}
	wg.Wait()
	if n := ran.Load(); n != 100 {
		t.Errorf("%d of 100 have run", n)
	}
}

// BenchmarkGo starts goroutines that go as deep as a request over the network does.
func BenchmarkGo(b *testing.B) {
	for _, bench := range []struct {
		name string
		run  func(wg *sync.WaitGroup, fn func())
	}{
		{"Go", goroutine.Go}, {"WaitGroup.Go", (*sync.WaitGroup).Go},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				for range 16 {
					bench.run(&wg, func() { below(12, b) })
				}
				wg.Wait()
			}
		})
	}
}

// below writes a request with so many calls above it.
//
//go:noinline
func below(calls int, b *testing.B) {
	if calls > 0 {
		defer b.Helper()
		below(calls-1, b)
		return
	}
	request, err := http.NewRequest(http.MethodPost, "http://test/", strings.NewReader(time.Unix(0, 0).Format(time.RFC1123)))
	if err == nil {
		err = request.Write(io.Discard)
	}
	if err != nil {
		b.Error(err)
	}
}
