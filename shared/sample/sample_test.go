package sample_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

// TestKeyOf guards the keys: completion indexes of old datasets hold them. The wants come
// from another implementation of what the type describes.
func TestKeyOf(t *testing.T) {
	for _, tc := range []struct {
		user string
		ms   int64
		want string
	}{
		{"u1", 1738324800000, "5f924f128af0c225f8b2000af7310323"},
		{"", 0, "374708fff7719dd5979ec875d56cd228"},
		{"ä", -1, "efc1926ad253208f7bc49ac94e3cac30"},
	} {
		if got := sample.KeyOf(tc.user, tc.ms).String(); got != tc.want {
			t.Errorf("key of (%q, %d) is %s, want %s", tc.user, tc.ms, got, tc.want)
		}
		if sample.KeyOf([]byte(tc.user), tc.ms) != sample.KeyOf(tc.user, tc.ms) {
			t.Errorf("the key of %q depends on its type", tc.user)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	seen := map[sample.Key]string{}
	for _, user := range []string{"", "a", "aa", "a\x00", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x01a"} {
		for _, ms := range []int64{0, 1, -1, 97, 1 << 56, 24832} {
			k := sample.KeyOf(user, ms)
			name := user + "@" + time.UnixMilli(ms).UTC().String()
			if other, ok := seen[k]; ok {
				t.Errorf("%q and %q have the same key", name, other)
			}
			seen[k] = name
		}
	}
}

func TestFormatTime(t *testing.T) {
	for ms, want := range map[int64]string{
		1738324800000:   "2025-01-31T12:00:00Z",
		1738324800120:   "2025-01-31T12:00:00.120Z",
		0:               "1970-01-01T00:00:00Z",
		-1:              "1969-12-31T23:59:59.999Z",
		-62135596800000: "0001-01-01T00:00:00Z",
		253402300799999: "9999-12-31T23:59:59.999Z",
	} {
		if got := sample.FormatTime(ms); got != want {
			t.Errorf("%d is written as %s, want %s", ms, got, want)
		}
		if back, err := time.Parse(time.RFC3339, want); err != nil || back.UnixMilli() != ms {
			t.Errorf("%s is read as %d (%v)", want, back.UnixMilli(), err)
		}
		if got := string(sample.AppendTime([]byte("at "), ms)); got != "at "+want {
			t.Errorf("appended: %q", got)
		}
	}
}

// Times of any year are written as the layout of keys has them.
func TestFormatTimeOfAnyYear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		ms := r.Int64N(1<<53) - 1<<52
		if r.IntN(2) == 0 {
			ms -= ms % 1000
		}
		layout := "2006-01-02T15:04:05Z"
		if ms%1000 != 0 {
			layout = "2006-01-02T15:04:05.000Z"
		}
		if got, want := sample.FormatTime(ms), time.UnixMilli(ms).UTC().Format(layout); got != want {
			t.Fatalf("%d ms are %s, want %s", ms, got, want)
		}
	}
}

func BenchmarkAppendTime(b *testing.B) {
	var text []byte
	for i := int64(0); b.Loop(); i++ {
		text = sample.AppendTime(text[:0], 1_700_000_000_000+i*1000)
	}
}

func TestNothingIsAllocatedForAKey(t *testing.T) {
	user := []byte("user-0123456789")
	var k sample.Key
	if n := testing.AllocsPerRun(100, func() { k = sample.KeyOf(user, 1738324800000) }); n != 0 {
		t.Errorf("%v allocations for key %s", n, k)
	}
}
