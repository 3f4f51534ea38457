package intake_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// TestMemoryOfALedger: what docs/bounds.md says of the samples of a run, and what is to be
// had where they ask for the same without attributes.
func TestMemoryOfALedger(t *testing.T) {
	const batches, records = 800, 500
	text := "run: demo\nfeature_service: {url: \"http://127.0.0.1:1\"}\nfamilies:\n"
	for f := range 50 {
		text += fmt.Sprintf("  - {id: f%d, cached: false}\n", f)
	}
	file, err := runfile.Parse("run file", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		record func(i int) string
		most   float64
	}{
		"all families": {func(i int) string { return fmt.Sprintf(`{"user_id":"user-%d","pitc_timestamp":1}`, i) }, 33},
		"each its own": {func(i int) string {
			return fmt.Sprintf(`{"user_id":"user-%d","pitc_timestamp":1,"feature_families":["f%d","f%d"],"attributes":{"n":%d}}`, i, i%20, 20+i%30, i)
		}, intake.BytesPerSample},
	} {
		before := heap()
		l := intake.NewLedger(file)
		for b := range batches {
			var data []byte
			for i := range records {
				data = append(data, tc.record(b*records+i)+"\n"...)
			}
			l.Take(&stage.Message{ID: fmt.Sprint("batch-", b), ContentType: record.NDJSON, Sequence: uint64(b + 1), Data: data})
		}
		each := float64(heap()-before) / float64(l.Samples())
		runtime.KeepAlive(l)
		if l.Samples() != batches*records || each > tc.most {
			t.Errorf("%s: %d samples take %.0f bytes each, want %d of at most %v", name, l.Samples(), each, batches*records, tc.most)
		}
		t.Logf("%s: %.0f bytes a sample", name, each)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
