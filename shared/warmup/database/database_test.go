package database_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"

	"github.com/fastfeaturefetch/fff/services/sandbox/rds"
	"github.com/fastfeaturefetch/fff/shared/awshttp"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/database"
)

// rig is a stand-in for RDS with two databases, and a clock that waiting moves.
type rig struct {
	t   *testing.T
	now time.Time
	api *sdk.Client
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)}
	s := rds.New(rds.Config{StartTime: 20 * time.Second, UpdateTime: 10 * time.Minute, Now: func() time.Time { return r.now }})
	s.AddInstance("events", "db.r6g.large", 100)
	s.AddCluster("aurora", 0.5, 64)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	r.api = sdk.New(sdk.Options{
		BaseEndpoint: &h.URL, Region: "us-east-1", RetryMaxAttempts: 1, HTTPClient: awshttp.New(2),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
	return r
}

type files map[string][]byte

func (f files) Put(_ context.Context, name string, data []byte) error { f[name] = data; return nil }
func (f files) Get(_ context.Context, name string) ([]byte, error) {
	if data, ok := f[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (r *rig) backends() []warmup.Backend {
	return []warmup.Backend{database.NewInstances(r.api), database.NewClusters(r.api)}
}

func (r *rig) keeper(kept files, report func(warmup.Event)) *warmup.Keeper {
	r.t.Helper()
	k, err := warmup.Open(r.t.Context(), warmup.Config{
		Run: "demo", System: "a", Hold: time.Hour, Backends: r.backends(), Stores: []warmup.Store{warmup.FileStore{Files: kept}},
		Report: report, Now: func() time.Time { return r.now },
		Sleep: func(ctx context.Context, d time.Duration) error { r.now = r.now.Add(d); return ctx.Err() },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

func (r *rig) want(class, minACU string) {
	r.t.Helper()
	for i, name := range []string{"events", "aurora"} {
		s, err := r.backends()[i].Read(r.t.Context(), name)
		if got := s.Values[database.Class] + s.Values[database.MinACU]; err != nil || s.Busy != "" || got != []string{class, minACU}[i] {
			r.t.Errorf("%s has %q %s, %v; want %s", name, got, s.Busy, err, []string{class, minACU}[i])
		}
	}
}

func wishes(class, minACU string) []warmup.Wish {
	return []warmup.Wish{
		{Resource: warmup.Resource{Kind: database.KindInstance, Name: "events"}, Want: warmup.Values{database.Class: class}},
		{Resource: warmup.Resource{Kind: database.KindCluster, Name: "aurora"}, Want: warmup.Values{database.MinACU: minACU}},
	}
}

func TestUpAndDown(t *testing.T) {
	r := newRig(t)
	var order []string
	k := r.keeper(files{}, func(e warmup.Event) {
		if e.What == warmup.Lowering {
			order = append(order, e.Resource.Name)
		}
	})
	if err := k.Raise(t.Context(), wishes("db.r6g.4xlarge", "16")); err != nil {
		t.Fatal(err)
	}
	r.want("db.r6g.4xlarge", "16")
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want("db.r6g.large", "0.5")
	if strings.Join(order, " ") != "aurora events" {
		t.Errorf("they come down in the order %v, want the last raised first", order)
	}
}

// TestPendingModifications: nothing is changed while something else waits, up or down; on
// the way down it is tried again until it can be done.
func TestPendingModifications(t *testing.T) {
	r := newRig(t)
	waits := func() {
		if _, err := r.api.ModifyDBInstance(t.Context(), &sdk.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("events"), AllocatedStorage: aws.Int32(300)}); err != nil {
			t.Fatal(err)
		}
	}
	var failed int
	k := r.keeper(files{}, func(e warmup.Event) {
		if e.What != warmup.Failed {
			return
		}
		if failed++; failed == 3 { // somebody applies what was pending
			_, err := r.api.ModifyDBInstance(t.Context(), &sdk.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("events"), ApplyImmediately: aws.Bool(true)})
			if err != nil {
				t.Error(err)
			}
		}
	})
	if err := k.Raise(t.Context(), wishes("db.r6g.4xlarge", "16")); err != nil {
		t.Fatal(err)
	}
	waits()
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want("db.r6g.large", "0.5")
	if failed != 3 {
		t.Errorf("%d failures were reported", failed)
	}
	r = newRig(t)
	waits()
	err := r.keeper(files{}, nil).Raise(t.Context(), wishes("db.r6g.4xlarge", "16"))
	if _, refused := errors.AsType[*warmup.Refused](err); !refused || !strings.Contains(err.Error(), "pending modifications") {
		t.Errorf("it was not refused: %v", err)
	}
}

func TestPlan(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct{ class, minACU, says string }{
		{"db.r6g.4xlarge", "16", "an outage, paid twice"},
		{"db.m6g.large", "16", "no smaller"},
		{"db.serverless", "16", "cannot be told"},
		{"db.r6g.4xlarge", "100", "above its own maximum of 64"},
	} {
		var said []string
		for i, w := range wishes(tc.class, tc.minACU) {
			c, err := r.backends()[i].Plan(t.Context(), w.Name, w.Want)
			said = append(said, c.Notes...)
			if err != nil {
				said = append(said, err.Error())
			}
		}
		if all := strings.Join(said, "\n"); !strings.Contains(all, tc.says) {
			t.Errorf("%s, %s: it says %q, want %q", tc.class, tc.minACU, all, tc.says)
		}
	}
	r.want("db.r6g.large", "0.5")
}
