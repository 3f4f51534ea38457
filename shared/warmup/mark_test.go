package warmup_test

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// tagText is what the tags of AWS take.
var tagText = regexp.MustCompile(`^[A-Za-z0-9 +=._:/@-]{1,256}$`)

func TestMarkText(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	m := warmup.Mark{Phase: warmup.Held, At: at, Until: at.Add(6 * time.Hour), Pairs: warmup.Pairs{
		"read_units":  {Before: "5", Raised: []string{"200", "40000"}},
		"write_units": {Before: "5", Raised: []string{"12"}},
	}}
	const want = "held at=2026-01-31T10:00:00Z until=2026-01-31T16:00:00Z read_units=5/200/40000 write_units=5/12"
	if m.String() != want || !tagText.MatchString(want) {
		t.Errorf("got %q, want %q", m, want)
	}
	back, err := warmup.ParseMark(want)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("read back: %+v, %v", back, err)
	}
	for _, bad := range []string{"", "held", "kept at=2026-01-31T10:00:00Z until=2026-01-31T16:00:00Z", "held at=now until=then",
		"held until=2026-01-31T10:00:00Z at=2026-01-31T16:00:00Z", want + " x", want + " x=5"} {
		if m, err := warmup.ParseMark(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
}

func TestHolderFitsEveryBackend(t *testing.T) {
	long := warmup.Holder(strings.Repeat("a", 63), "0123abcd")
	if short := warmup.Holder("demo", "0123abcd"); short != "demo.0123abcd" || len(long) > 63 || long == warmup.Holder(strings.Repeat("a", 63), "0123abce") {
		t.Errorf("%s, %s", short, long)
	}
}

// TestJournalInADataset: a dataset keeps the journal, and its first writer is told when
// another one has taken over.
func TestJournalInADataset(t *testing.T) {
	disk, err := dataset.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var store dataset.Store = disk
	kept := warmup.FileStore{Files: store}
	if j, err := kept.Load(t.Context()); j != nil || err != nil {
		t.Fatalf("Load of nothing = %v, %v", j, err)
	}
	of := func(writer string, version uint64) *warmup.Journal {
		return &warmup.Journal{Version: version, Writer: writer, Run: "demo", Holder: "demo.1"}
	}
	if err := errors.Join(kept.Save(t.Context(), of("one", 1)), kept.Save(t.Context(), of("two", 2))); err != nil {
		t.Fatal(err)
	}
	if err := kept.Save(t.Context(), of("one", 2)); !errors.Is(err, warmup.ErrOvertaken) {
		t.Errorf("the first writer got %v", err)
	}
	if j, err := kept.Load(t.Context()); err != nil || j.Writer != "two" {
		t.Errorf("Load = %+v, %v", j, err)
	}
}
