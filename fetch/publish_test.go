package fetch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/work"
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
