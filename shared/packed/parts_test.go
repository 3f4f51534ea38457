package packed_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// The parts of a message hold its blocks, whole and in their order, the samples of these
// and no others, and are as large as they should be.
func TestParts(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	var message packed.Message
	for seed := range uint64(400) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			d := newDriver(r, b)
			b.Reset()
			d.drive()
			blocks := slices.DeleteFunc(d.blocks, func(m *modelBlock) bool { return len(m.rows) == 0 })
			target := 500 + r.IntN(5000)
			most := 2 * target
			parts := b.EncodeParts(packed.FeatureService, target, most)
			if whole := len(b.Encode(nil, packed.FeatureService)); len(parts) > 2+2*whole/target && len(parts) > len(blocks)/2+1 {
				t.Errorf("%d parts of %d bytes, target %d", len(parts), whole, target)
			}
			for _, data := range parts {
				if err := packed.Decode(data, &message); err != nil {
					t.Fatal(err)
				}
				n := len(message.Blocks)
				if len(data) > most && n > 1 {
					t.Errorf("a part of %d blocks has %d bytes, at most %d", n, len(data), most)
				}
				if n == 0 && len(parts) > 1 || n > len(blocks) {
					t.Fatalf("a part of %d blocks; %d are left", n, len(blocks))
				}
				equal(t, &message, blocks[:n])
				blocks = blocks[n:]
				if len(parts) == 1 {
					continue
				}
				used := map[uint32]bool{}
				for _, k := range message.Blocks {
					for _, s := range k.SampleOf {
						used[s] = true
					}
				}
				if len(used) != len(message.Samples) {
					t.Errorf("%d samples, %d of them used", len(message.Samples), len(used))
				}
			}
			if len(blocks) > 0 {
				t.Errorf("%d blocks are in no part", len(blocks))
			}
		})
	}
}
