package runner

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkEach runs units that go as deep as a request over the network does: a goroutine's
// stack has to grow for them.
func BenchmarkEach(b *testing.B) {
	units := make([]int, 16)
	b.ReportAllocs()
	for b.Loop() {
		err := each(units, func(int) error { return below(12, units) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(units)), "ns/unit")
}

// below writes a request with so many calls above it.
//
//go:noinline
func below(calls int, units []int) error {
	if calls > 0 {
		defer func() { _ = units }()
		return below(calls-1, units)
	}
	request, err := http.NewRequest(http.MethodPost, "http://test/", strings.NewReader(time.Unix(0, 0).Format(time.RFC1123)))
	if err != nil {
		return err
	}
	return request.Write(io.Discard)
}
