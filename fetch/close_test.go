package fetch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// TestMain gives the systems that tests and examples start addresses of their own, and
// stand-ins with tables that can be scaled.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"FFF_HTTP_ADDR": "off", "FFF_SANDBOX_READ_UNITS": "50", "FFF_SANDBOX_TABLE_UPDATE_TIME": "100ms",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const (
	usualUnits  = 50 // read units of the table before and after a run
	raisedUnits = 300
)

const jobFile = `run: job
families: [{id: credit}, {id: sms}]
dynamodb: {table: features, partition_key: {name: user_id, value: "{user_id}"}, sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}}
feature_service: {url: %q}
output: {dir: %q}
warm_up: {target_duration: 1s, dynamodb: {max_read_units: 300}}
`

// account is what programs of these tests scale: a table whose reads wait until it is told.
type account struct {
	t    *testing.T
	url  string
	gate chan struct{} // reads wait until it is closed
	cfg  fetch.Config
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{t: t, gate: make(chan struct{})}
	s, err := sandbox.New(sandbox.Config{
		DynamoDBAddr: "127.0.0.1:0", FeatureServiceAddr: "127.0.0.1:0", FeaturesPerFamily: 3, HitRatio: 1, ReadUnits: usualUnits,
		TableUpdateTime: 100 * time.Millisecond, Threads: 8, Queue: 100, Overflow: "wait",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) })
	s.SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault { <-a.gate; return dynamodb.Fault{} }})
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": at.DynamoDB, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	a.url = at.DynamoDB
	out := t.TempDir()
	a.cfg = fetch.Config{
		File: "run.yaml", RunFile: fmt.Appendf(nil, jobFile, at.FeatureService, out), Store: filepath.Join(out, "store"),
		Pace: fetch.Pace{Poll: 10 * time.Millisecond},
	}
	file, err := runfile.Parse(a.cfg.File, a.cfg.RunFile)
	if err == nil {
		err = s.AddRun(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// units gives the table's read units, asked by hand. It may be called by any goroutine.
func (a *account) units() int64 {
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url, strings.NewReader(`{"TableName":"features"}`))
	if err != nil {
		a.t.Error(err)
		return 0
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.DescribeTable")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Error(err)
		return 0
	}
	defer answer.Body.Close()
	var out struct {
		Table struct {
			ProvisionedThroughput struct{ ReadCapacityUnits int64 }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		a.t.Error(err)
	}
	return out.Table.ProvisionedThroughput.ReadCapacityUnits
}

// raised waits until the table is raised, for longer than a warm-up waits for more records.
func (a *account) raised() {
	for deadline := time.Now().Add(2 * time.Minute); a.units() != raisedUnits; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Errorf("the table was never raised: it has %d read units", a.units())
			return
		}
	}
}

// samples gives records of n users.
func samples(n int) iter.Seq2[fetch.Record, error] {
	return func(yield func(fetch.Record, error) bool) {
		for i := range n {
			if !yield(fetch.Record{UserID: fmt.Sprintf("u%d", i), EpochMS: 1_738_324_800_000}, nil) {
				return
			}
		}
	}
}

// enough that a run wants more than it may have, and that batches are full before the records end.
const enough = 2*fetch.MaxBatchRecords + 1

// TestCloseBringsEverythingDown ends runs, whose table is raised, as programs end. The moment
// that Close has returned the table is as before.
func TestCloseBringsEverythingDown(t *testing.T) {
	errOwn := errors.New("the program has seen enough")
	for name, program := range map[string]func(context.Context, *account, *fetch.Run) error{
		"at the end": func(ctx context.Context, a *account, r *fetch.Run) error {
			if err := r.Publish(ctx, samples(enough)); err != nil {
				return err
			}
			if err := r.WarmUp(ctx); err != nil {
				return err
			}
			a.raised()
			close(a.gate)
			status, err := r.Wait(ctx)
			if err == nil && (status.State != control.Completed || status.Committed != 2*enough) {
				t.Errorf("the run is %s, with %d cells", status.State, status.Committed)
			}
			return err
		},
		"by defer": func(ctx context.Context, a *account, r *fetch.Run) error {
			if err := r.Publish(ctx, samples(enough)); err != nil {
				return err
			}
			a.raised()
			close(a.gate)
			return errOwn
		},
		"by a panic of the iterator": func(ctx context.Context, a *account, r *fetch.Run) error {
			_, err := r.Fetch(ctx, func(yield func(fetch.Record, error) bool) {
				for record, err := range samples(enough) {
					yield(record, err)
				}
				a.raised() // for what has come so far
				close(a.gate)
				panic(errOwn)
			})
			return fmt.Errorf("it did not panic: %w", err)
		},
		"by a cancelled context": func(ctx context.Context, a *account, r *fetch.Run) error {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			go func() {
				a.raised()
				cancel(errOwn)
				close(a.gate)
			}()
			_, err := r.Fetch(ctx, samples(enough))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			err := a.run(program)
			if completes := name == "at the end"; completes && err != nil || !completes && !errors.Is(err, errOwn) {
				t.Errorf("it ended with %v", err)
			}
			if n := a.units(); n != usualUnits {
				t.Errorf("the table has %d read units when the program has ended, %d before", n, usualUnits)
			}
			_, kept := os.Stat(a.cfg.Store)
			if (kept == nil) == (err == nil) {
				t.Errorf("after %v the store is there: %v", err, kept == nil)
			}
		})
	}
}

// run is a program: a panic gives its value as an error.
func (a *account) run(program func(context.Context, *account, *fetch.Run) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %w", p.(error))
		}
	}()
	ctx := a.t.Context()
	r, err := fetch.Open(ctx, a.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return program(ctx, a, r)
}
