package table_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/shared/awshttp"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/table"
)

// rig is a stand-in for DynamoDB with one table, and a clock that waiting moves.
type rig struct {
	t   *testing.T
	now time.Time
	api *sdk.Client
}

func newRig(t *testing.T, units int64) *rig {
	r := &rig{t: t, now: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{Now: func() time.Time { return r.now }, UpdateTime: time.Minute}))
	t.Cleanup(server.Close)
	r.api = sdk.New(sdk.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", RetryMaxAttempts: 1, HTTPClient: awshttp.New(2),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
	in := &sdk.CreateTableInput{
		TableName:            aws.String("features"),
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("user_id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("user_id"), AttributeType: types.ScalarAttributeTypeS}},
		BillingMode:          types.BillingModePayPerRequest,
	}
	if units > 0 {
		in.BillingMode = types.BillingModeProvisioned
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: aws.Int64(7)}
	}
	if _, err := r.api.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Minute)
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

// entries counts what is left to undo.
func (f files) entries(t *testing.T) int {
	j, err := warmup.FileStore{Files: f}.Load(t.Context())
	if err != nil || j == nil {
		t.Fatalf("journal %v, %v", j, err)
	}
	return len(j.Entries)
}

// keeper gives a system's keeper; events are gathered in what it returns.
func (r *rig) keeper(system string, cfg table.Config, kept files) (*warmup.Keeper, *[]warmup.Event) {
	r.t.Helper()
	cfg.API, cfg.Now = r.api, func() time.Time { return r.now }
	var events []warmup.Event
	k, err := warmup.Open(r.t.Context(), warmup.Config{
		Run: "demo", System: system, Hold: time.Hour, Backends: []warmup.Backend{table.New(cfg)},
		Stores: []warmup.Store{warmup.FileStore{Files: kept}},
		Report: func(e warmup.Event) { events = append(events, e) },
		Now:    cfg.Now, Sleep: func(ctx context.Context, d time.Duration) error { r.now = r.now.Add(d); return ctx.Err() },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return k, &events
}

func wish(units string) []warmup.Wish {
	return []warmup.Wish{{Resource: warmup.Resource{Kind: table.Kind, Name: "features"}, Want: warmup.Values{table.ReadUnits: units}}}
}

func (r *rig) want(units string) {
	r.t.Helper()
	s, err := table.New(table.Config{API: r.api}).Read(r.t.Context(), "features")
	if err != nil || s.Values[table.ReadUnits] != units || s.Values[table.WriteUnits] != "7" || s.Busy != "" {
		r.t.Errorf("the table has %v %s, %v; want %s read units and 7 write units", s.Values, s.Busy, err, units)
	}
}

func (r *rig) set(units int64) {
	r.t.Helper()
	_, err := r.api.UpdateTable(r.t.Context(), &sdk.UpdateTableInput{TableName: aws.String("features"),
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: aws.Int64(7)}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(time.Minute)
}

// finish calls Keep until nothing is left.
func (r *rig) finish(k *warmup.Keeper) {
	r.t.Helper()
	for range 1000 {
		next, err := k.Keep(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if next.IsZero() {
			return
		}
		r.now = next
	}
	r.t.Error("the keeper never comes to an end")
}

func (r *rig) marks() int {
	s, err := table.New(table.Config{API: r.api}).Read(r.t.Context(), "features")
	if err != nil {
		r.t.Fatal(err)
	}
	return len(s.Marks)
}

func TestUpAndDown(t *testing.T) {
	r := newRig(t, 5)
	kept := files{}
	k, _ := r.keeper("a", table.Config{}, kept)
	if err := k.Raise(t.Context(), wish("400")); err != nil {
		t.Fatal(err)
	}
	r.want("400")
	if kept.entries(t) != 1 || r.marks() != 1 {
		t.Errorf("while it is up there are %d entries and %d marks", kept.entries(t), r.marks())
	}
	// Killed here; the next start knows what to do.
	k, _ = r.keeper("another broker", table.Config{}, kept)
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want("5")
	r.finish(k)
	if kept.entries(t) != 0 || r.marks() != 0 {
		t.Errorf("in the end there are %d entries and %d marks", kept.entries(t), r.marks())
	}
}

func TestMaxHold(t *testing.T) {
	r := newRig(t, 5)
	k, _ := r.keeper("a", table.Config{}, files{})
	if err := k.Raise(t.Context(), wish("400")); err != nil {
		t.Fatal(err)
	}
	next, err := k.Keep(t.Context())
	if err != nil || next.Before(r.now.Add(50*time.Minute)) {
		t.Fatalf("Keep = %v, %v; the hold is an hour", next, err)
	}
	r.now = next
	r.finish(k)
	r.want("5")
}

func TestTwoSystems(t *testing.T) {
	for _, first := range []int{0, 1} {
		r := newRig(t, 5)
		a, _ := r.keeper("a", table.Config{}, files{})
		b, _ := r.keeper("b", table.Config{}, files{})
		keepers := []*warmup.Keeper{a, b}
		if err := errors.Join(a.Raise(t.Context(), wish("400")), b.Raise(t.Context(), wish("300"))); err != nil {
			t.Fatal(err)
		}
		r.want("400")
		if err := keepers[first].Lower(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want("400")
		if err := keepers[1-first].Lower(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.want("5")
		r.finish(a)
		r.finish(b)
		if r.marks() != 0 {
			t.Errorf("%d marks are left", r.marks())
		}
	}
}

func TestChangedByHand(t *testing.T) {
	r := newRig(t, 5)
	k, events := r.keeper("a", table.Config{}, files{})
	if err := k.Raise(t.Context(), wish("400")); err != nil {
		t.Fatal(err)
	}
	r.set(70)
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want("70")
	last := (*events)[len(*events)-1]
	if last.What != warmup.Foreign || !strings.Contains(last.Text, "before the run it was read_units 5") {
		t.Errorf("reported: %+v", last)
	}
}

// TestDecreasesUsedUp: a table that could not be brought down again is not raised, and one
// that cannot be brought down yet is tried again until it can.
func TestDecreasesUsedUp(t *testing.T) {
	r := newRig(t, 100)
	for units := range int64(4) {
		r.set(99 - units)
	}
	k, _ := r.keeper("a", table.Config{}, files{})
	err := k.Raise(t.Context(), wish("400"))
	if _, refused := errors.AsType[*warmup.Refused](err); !refused || !strings.Contains(err.Error(), "decreased 4 times today") {
		t.Fatalf("it was not refused: %v", err)
	}
	if len(k.Entries()) != 0 || r.marks() != 0 {
		t.Error("a refusal leaves traces")
	}
	r.now = r.now.Add(time.Hour)
	if err := k.Raise(t.Context(), wish("400")); err != nil {
		t.Fatal(err)
	}
	r.set(390) // by hand, so that the next decrease has to wait for an hour
	r.set(400)
	before := r.now
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want("96")
	if waited := r.now.Sub(before); waited < 50*time.Minute {
		t.Errorf("it was down after %v", waited)
	}
}

func TestOnDemand(t *testing.T) {
	r := newRig(t, 0)
	warm := func() string {
		s, err := table.New(table.Config{API: r.api}).Read(t.Context(), "features")
		if err != nil {
			t.Fatal(err)
		}
		return s.Values[table.WarmReads]
	}
	k, _ := r.keeper("a", table.Config{}, files{})
	if err := k.Raise(t.Context(), wish("20000")); err != nil || warm() != "12000" {
		t.Fatalf("without leave its warm throughput is %s: %v", warm(), err)
	}
	change, err := table.New(table.Config{API: r.api}).Plan(t.Context(), "features", wish("20000")[0].Want)
	if err != nil || !change.None() || !strings.Contains(strings.Join(change.Notes, ""), "can never be lowered") {
		t.Errorf("plan: %+v, %v", change, err)
	}
	if err := k.Lower(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, _ = r.keeper("b", table.Config{AllowWarmThroughput: true}, files{})
	if err := k.Raise(t.Context(), wish("20000")); err != nil || warm() != "20000" {
		t.Fatalf("with leave its warm throughput is %s: %v", warm(), err)
	}
	if len(k.Entries()) != 0 {
		t.Error("what cannot be undone is in the undo journal")
	}
}

type scalers []scaling.ScalableTarget

func (s scalers) DescribeScalableTargets(context.Context, *applicationautoscaling.DescribeScalableTargetsInput, ...func(*applicationautoscaling.Options)) (*applicationautoscaling.DescribeScalableTargetsOutput, error) {
	return &applicationautoscaling.DescribeScalableTargetsOutput{ScalableTargets: s}, nil
}

func TestAutoScalingIsNoticed(t *testing.T) {
	r := newRig(t, 5)
	b := table.New(table.Config{API: r.api, Scalers: scalers{{
		ScalableDimension: scaling.ScalableDimensionDynamoDBTableReadCapacityUnits, MinCapacity: aws.Int32(5), MaxCapacity: aws.Int32(50),
	}}})
	change, err := b.Plan(t.Context(), "features", wish("400")[0].Want)
	if err != nil || len(change.Notes) != 1 || !strings.Contains(change.Notes[0], "between 5 and 50") {
		t.Errorf("plan: %+v, %v", change, err)
	}
}

func TestNoTable(t *testing.T) {
	r := newRig(t, 5)
	if _, err := table.New(table.Config{API: r.api}).Read(t.Context(), "others"); !errors.Is(err, warmup.ErrGone) {
		t.Errorf("Read = %v", err)
	}
}
