package sample_test

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

// TestNumbersAgainstAMap numbers keys of which many begin with the same bytes.
func TestNumbersAgainstAMap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var s sample.Numbers
	want := map[sample.Key]uint32{}
	for range 20_000 {
		var k sample.Key
		k[0], k[15], k[14] = byte(random.IntN(3)), byte(random.IntN(256)), byte(random.IntN(8))
		if _, ok := s.Find(k); ok != has(want, k) {
			t.Fatalf("key %s is found: %v", k, ok)
		}
		known := has(want, k)
		if !known {
			want[k] = uint32(len(want))
		}
		if n, fresh := s.Put(k); n != want[k] || fresh == known {
			t.Fatalf("key %s has number %d (%v), want %d", k, n, fresh, want[k])
		}
	}
	all := s.Keys()
	if s.Len() != len(want) || len(all) != len(want) {
		t.Errorf("%d samples, want %d", s.Len(), len(want))
	}
	for k, n := range want {
		if got, ok := s.Find(k); !ok || got != n || s.Key(n) != k || all[n] != k || s.Add(k) != n {
			t.Fatalf("key %s has number %d (%v), want %d", k, got, ok, n)
		}
	}
}

func has(m map[sample.Key]uint32, k sample.Key) bool { _, ok := m[k]; return ok }

// manySamples is just beyond a size at which the table has grown.
const manySamples = 800_000

func numbered(n int) *sample.Numbers {
	var s sample.Numbers
	var user [8]byte
	for i := range n {
		binary.LittleEndian.PutUint64(user[:], uint64(i))
		s.Add(sample.KeyOf(user[:], 0))
	}
	return &s
}

// TestMemoryOfNumbers: what the documents say of a sample rests on it.
func TestMemoryOfNumbers(t *testing.T) {
	before := heap()
	s := numbered(manySamples)
	each := float64(heap()-before) / manySamples
	runtime.KeepAlive(s)
	t.Logf("%.1f bytes a sample", each)
	if each > 27 {
		t.Errorf("%.1f bytes a sample, want at most 27, and %d while the table grows", each, sample.BytesPerSample)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkKeyOf(b *testing.B) {
	user := []byte("user-0123456789")
	for b.Loop() {
		sample.KeyOf(user, 1738324800000)
	}
}

func BenchmarkNumbers(b *testing.B) {
	const n = 1_000_000
	s := numbered(n)
	keys := s.Keys()
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			var s sample.Numbers
			for _, k := range keys {
				s.Add(k)
			}
		}
		perSample(b, n)
	})
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			for _, k := range keys {
				if _, ok := s.Find(k); !ok {
					b.Fatal(k)
				}
			}
		}
		perSample(b, n)
	})
}

func perSample(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sample")
}
