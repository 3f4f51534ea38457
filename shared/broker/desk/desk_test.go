package desk_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

func TestDoneIsAskedAndAnswered(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	keys := []sample.Key{sample.KeyOf("a", 1), sample.KeyOf("b", 2), sample.KeyOf("c", 3)}
	want := [][]uint64{{1 << 63, 1}, {0, 0}, {5, 1 << 5}}
	stop, err := desk.ServeDone(b.Client, func(run string, epoch uint64, asked []sample.Key) ([][]uint64, error) {
		if run != "demo" || !slices.Equal(asked, keys[:len(asked)]) {
			t.Errorf("asked about %v of run %s", asked, run)
		}
		switch epoch {
		case 7:
			return want[:len(asked)], nil
		case 8: // another run file: fewer families
			return [][]uint64{{0}, {0}, {0}}, nil
		}
		return nil, errors.New("no such epoch")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c := b.Connect()
	if got, err := desk.Done(t.Context(), c, "demo", 7, keys, 70); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("answered %v (%v), want %v", got, err, want)
	}
	if got, err := desk.Done(t.Context(), c, "demo", 7, nil, 70); err != nil || len(got) != 0 {
		t.Errorf("asked about nothing: %v (%v)", got, err)
	}
	if _, err := desk.Done(t.Context(), c, "demo", 8, keys, 70); err == nil || !strings.Contains(err.Error(), "another epoch or run file") {
		t.Errorf("an answer of another length: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("short"), make([]byte, 8+15)} {
		if err := b.NC.PublishRequest("fff.done.demo", b.NC.NewInbox(), bad); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := desk.Done(t.Context(), c, "demo", 7, keys, 70); err != nil {
		t.Errorf("after requests that cannot be read: %v", err)
	}
}

func TestNobodyLeads(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if _, err := desk.Done(t.Context(), b.Client, "demo", 1, nil, 1); !errors.Is(err, desk.ErrNobody) {
		t.Errorf("done without a leader: %v", err)
	}
	if _, err := desk.Share(t.Context(), b.Client, nil); !errors.Is(err, desk.ErrNobody) {
		t.Errorf("share without a leader: %v", err)
	}
	if _, err := desk.Spend(t.Context(), b.Client, budget.Ask{}); !errors.Is(err, desk.ErrNobody) {
		t.Errorf("read units without a leader: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := desk.Share(ctx, b.Client, nil); err == nil {
		t.Error("asked with an ended context")
	}
}

func TestSharesAreHandedThrough(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	stop, err := desk.ServeShare(b.Client, bytes.ToUpper)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := desk.Share(t.Context(), b.Connect(), []byte("ask")); err != nil || string(got) != "ASK" {
		t.Errorf("answered %q (%v)", got, err)
	}
	stop()
	if _, err := desk.Share(t.Context(), b.Client, nil); !errors.Is(err, desk.ErrNobody) {
		t.Errorf("after the leader stopped: %v", err)
	}
}

func TestReadUnitsAreAskedFor(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ledger := budget.NewLedger()
	ledger.Limit(100)
	if _, err := desk.ServeSpend(b.Client, ledger.Grant); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []budget.Ask{{Run: "demo", Instance: "a", Needs: 100, Stuck: true}, {Run: "demo", Instance: "b", Has: 3, Needs: 200}} {
		want := budget.NewLedger()
		want.Limit(100)
		if ask.Instance == "b" {
			want.Used("a", 100)
		}
		if got, err := desk.Spend(t.Context(), b.Connect(), ask); err != nil || got != want.Grant(ask) {
			t.Errorf("%+v is answered with %v (%v), want %v", ask, got, err, want.Grant(ask))
		}
	}
}
