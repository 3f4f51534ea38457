package paged_test

import (
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/paged"
)

func TestList(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 5, 4095, 4096, 4097, 10_000} {
		var l paged.List[uint32]
		var want []uint32
		for i := range n {
			l.Append(uint32(i))
			want = append(want, uint32(i))
		}
		l.Set(n+2, 9)
		l.Set(n/2, 7)
		want = append(want, 0, 0, 9)
		want[n/2] = 7
		var got []uint32
		for i := range l.Len() {
			got = append(got, *l.At(i))
			if l.Get(i) != got[i] {
				t.Errorf("thing %d is %d, and %d", i, got[i], l.Get(i))
			}
		}
		if l.Get(l.Len()) != 0 {
			t.Error("something is beyond the end")
		}
		if !slices.Equal(got, want) {
			t.Errorf("a list of %d and three more is %v", n, got)
		}
	}
}
