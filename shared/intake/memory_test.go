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

// TestMemoryOfALedger: what docs/bounds.md says of the samples of a run.
func TestMemoryOfALedger(t *testing.T) {
	const batches, records = 500, 500
	file, err := runfile.Parse("run file", []byte("run: demo\nfamilies: [{id: a, cached: false}]\nfeature_service: {url: \"http://127.0.0.1:1\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	l := intake.NewLedger(file)
	for b := range batches {
		var data []byte
		for i := range records {
			data = fmt.Appendf(data, `{"user_id":"user-%d","pitc_timestamp":1,"attributes":{"n":%d}}`+"\n", b*records+i, i)
		}
		l.Take(&stage.Message{ID: fmt.Sprint("batch-", b), ContentType: record.NDJSON, Sequence: uint64(b + 1), Data: data})
	}
	each := float64(heap()-before) / float64(l.Samples())
	runtime.KeepAlive(l)
	if l.Samples() != batches*records || each > intake.BytesPerSample {
		t.Errorf("%d samples take %.0f bytes each, want %d of at most %d", l.Samples(), each, batches*records, intake.BytesPerSample)
	}
	t.Logf("%.0f bytes a sample", each)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
