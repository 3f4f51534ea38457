package dataset

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// heapPeak is a writer that looks at the heap whenever something is written to it.
type heapPeak struct{ most int64 }

func (p *heapPeak) Write(b []byte) (int, error) {
	p.most = max(p.most, heap())
	return len(b), nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// EncodingBytes is at least what the garbage collector finds while a file is written.
func TestEncodingBytes(t *testing.T) {
	for _, shape := range []struct{ columns, rows, text int }{{60, 1, 0}, {2000, 1, 0}, {2000, 100, 0}, {60, 10_000, 0}, {1, 30, 500 << 10}} {
		b := packed.NewBuilder()
		k := b.Block("f")
		for row := range shape.rows {
			k.Begin()
			for c := range shape.columns {
				if name := fmt.Appendf(nil, "feature_%d", c); shape.text > 0 {
					k.String(name, make([]byte, shape.text))
				} else {
					k.Double(name, float64(row*c)*1.1)
				}
			}
			k.End(b.Sample(fmt.Sprint(row), 1))
		}
		var m packed.Message
		if err := packed.Decode(b.Encode(nil, packed.DynamoDB), &m); err != nil {
			t.Fatal(err)
		}
		rows := &FamilyRows{Run: "r"}
		rows.Add(&m, &m.Blocks[0], nil)
		var peak heapPeak
		before := heap()
		if _, _, err := WriteFamily(&peak, runfile.Family{ID: "f"}, rows, nil); err != nil {
			t.Fatal(err)
		}
		if took, told := peak.most-before, rows.EncodingBytes(0); took > told {
			t.Errorf("writing %+v takes %d bytes, told were %d", shape, took, told)
		}
	}
}
