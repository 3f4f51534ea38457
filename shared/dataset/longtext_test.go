package dataset

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// A long text stands in a file once.
func TestLongTextStandsOnce(t *testing.T) {
	text := make([]byte, 400<<10)
	for i := range text { // that no compressor makes smaller than half
		text[i] = byte(' ' + rand.IntN(90))
	}
	b := packed.NewBuilder()
	k := b.Block("f")
	k.Begin()
	k.String([]byte("text"), text)
	k.End(b.Sample("u", 1))
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, packed.DynamoDB), &m); err != nil {
		t.Fatal(err)
	}
	rows := &FamilyRows{Run: "r"}
	rows.Add(&m, &m.Blocks[0], nil)
	var file bytes.Buffer
	if _, _, err := WriteFamily(&file, runfile.Family{ID: "f"}, rows, nil); err != nil {
		t.Fatal(err)
	}
	if file.Len() > len(text)+len(text)/8 {
		t.Errorf("a text of %d bytes makes a file of %d", len(text), file.Len())
	}
}
