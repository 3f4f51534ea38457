package journal_test

import (
	"errors"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/journal"
	"github.com/fastfeaturefetch/fff/shared/warmup"
)

func journalOf(writer string, version uint64) *warmup.Journal {
	return &warmup.Journal{Version: version, Writer: writer, Run: "demo", Holder: "demo.1",
		Entries: []warmup.Entry{{Resource: warmup.Resource{Kind: "table", Name: "features"}, Stage: warmup.Intent}}}
}

// TestTwoKeepers: of two instances that both think they keep the journal, the one that
// read it last goes on, and the other is told.
func TestTwoKeepers(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	one, two := journal.Open(b.JS, "demo"), journal.Open(b.JS, "demo")
	if j, err := one.Load(ctx); j != nil || err != nil {
		t.Fatalf("Load of nothing = %v, %v", j, err)
	}
	for version := range uint64(2) {
		if err := one.Save(ctx, journalOf("one", version+1)); err != nil {
			t.Fatal(err)
		}
	}
	if j, err := two.Load(ctx); err != nil || j.Version != 2 || j.Entries[0].Name != "features" {
		t.Fatalf("Load = %+v, %v", j, err)
	}
	if err := two.Save(ctx, journalOf("two", 3)); err != nil {
		t.Fatal(err)
	}
	if err := one.Save(ctx, journalOf("one", 3)); !errors.Is(err, warmup.ErrOvertaken) {
		t.Fatalf("the instance that was overtaken got %v", err)
	}
	if runs, err := journal.Runs(ctx, b.JS); err != nil || len(runs) != 1 || runs[0] != "demo" {
		t.Fatalf("Runs = %v, %v", runs, err)
	}
	if err := two.Save(ctx, &warmup.Journal{Version: 4, Writer: "two", Run: "demo", Holder: "demo.1"}); err != nil {
		t.Fatal(err)
	}
	if runs, err := journal.Runs(ctx, b.JS); err != nil || len(runs) != 0 {
		t.Fatalf("Runs with nothing left = %v, %v", runs, err)
	}
	// That nothing is left is no leave to begin again for who was overtaken before.
	if err := one.Save(ctx, journalOf("one", 5)); !errors.Is(err, warmup.ErrOvertaken) {
		t.Fatalf("the instance that was overtaken got %v", err)
	}
	late := journal.Open(b.JS, "demo")
	if err := two.Save(ctx, journalOf("two", 5)); err != nil {
		t.Fatal(err)
	}
	if err := late.Save(ctx, journalOf("late", 1)); !errors.Is(err, warmup.ErrOvertaken) {
		t.Fatalf("a keeper that has not looked got %v", err)
	}
}

// TestLostAnswer: a save that was stored though its answer was lost is the keeper's own.
func TestLostAnswer(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	s, lost := journal.Open(b.JS, "demo"), journal.Open(b.JS, "demo")
	if err := lost.Save(ctx, journalOf("same", 1)); err != nil { // stored, and s knows nothing of it
		t.Fatal(err)
	}
	if err := s.Save(ctx, journalOf("same", 2)); err != nil {
		t.Fatal(err)
	}
	if j, err := s.Load(ctx); err != nil || j.Version != 2 {
		t.Fatalf("Load = %+v, %v", j, err)
	}
}
