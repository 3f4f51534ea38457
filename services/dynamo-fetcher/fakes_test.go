package dynamofetcher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// newMessage gives a message of a run, and the block in it.
func newMessage(t testing.TB, file string, requests ...work.Request) (*stage.Message, *work.Block) {
	t.Helper()
	f, err := runfile.Parse("run.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	b := &work.Block{Requests: requests}
	return &stage.Message{Run: &stage.Run{ID: f.Run, Epoch: 1, File: f}, Data: b.Encode()}, b
}

// threeLanes has a family of each lane, one that is not cached, and keys user and family.
const threeLanes = `
run: demo
families: [{id: a}, {id: b}, {id: s, lane: slow}, {id: z, lane: slow}, {id: auto, lane: auto}, {id: d, cached: false}]
dynamodb: {table: features, partition_key: {name: pk, value: "{user_id}"}, sort_key: {name: sk, value: "{family}"}}
feature_service: {url: "http://127.0.0.1:1/"}
`

// getter is a BatchGetter.
type getter func(ctx context.Context, table string, keys []string) (body string, err error)

func (g getter) BatchGet(ctx context.Context, table string, request, dst []byte, _ func(context.Context, int) error) ([]byte, error) {
	var r struct {
		RequestItems map[string]struct {
			Keys []map[string]map[string]string
		}
	}
	if err := json.Unmarshal(request, &r); err != nil {
		return dst, err
	}
	var keys []string
	for _, key := range r.RequestItems[table].Keys {
		keys = append(keys, key["pk"]["S"]+"/"+key["sk"]["S"])
	}
	body, err := g(ctx, table, keys)
	return append(dst, body...), err
}

// reply gives an answer with an item for each key of found, and with keys unprocessed.
func reply(found, unprocessed []string) string {
	part := func(keys []string, members string) string {
		var items []string
		for _, key := range keys {
			user, family, _ := strings.Cut(key, "/")
			items = append(items, fmt.Sprintf(`{"pk":{"S":%q},"sk":{"S":%q}%s}`, user, family, members))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return fmt.Sprintf(`{"ConsumedCapacity":[{"CapacityUnits":%d}],"Responses":{"features":%s},"UnprocessedKeys":{"features":{"Keys":%s}}}`,
		len(found), part(found, `,"v":{"N":"1"}`), part(unprocessed, ""))
}

// apiError is an error as DynamoDB answers it.
type apiError struct {
	code   string
	status int
}

func (e *apiError) Error() string     { return e.code }
func (e *apiError) ErrorCode() string { return e.code }
func (e *apiError) HTTPStatus() int   { return e.status }

var errThrottled = &apiError{"ProvisionedThroughputExceededException", 400}

// outputs collects what a stage makes.
type outputs struct {
	t         testing.TB
	cellsErr  func() error
	requested func(to stage.Name, r work.Request) error

	mu       sync.Mutex
	hits     map[string]int // user@ms/family
	values   map[string]string
	requests []string // stage user@ms families attributes
	missed   map[string]int
}

func newOutputs(t testing.TB) *outputs {
	return &outputs{t: t, hits: map[string]int{}, values: map[string]string{}, missed: map[string]int{}}
}

func (o *outputs) Cells(ctx context.Context, src packed.Source, fn func(*packed.Builder) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.cellsErr != nil {
		if err := o.cellsErr(); err != nil {
			return err
		}
	}
	b := packed.NewBuilder()
	if err := fn(b); err != nil {
		return err
	}
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, src), &m); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, block := range m.Blocks {
		for i, sample := range block.SampleOf {
			cell := fmt.Sprintf("%s@%d/%s", m.Samples[sample].UserID, m.Samples[sample].EpochMS, block.Family)
			o.hits[cell]++
			for c := range block.Columns {
				if column := &block.Columns[c]; !column.IsNull(i) {
					o.values[cell+"/"+column.Name] = column.Kind.String() + " " + string(column.Text(nil, i))
				}
			}
		}
	}
	return nil
}

func (o *outputs) Request(ctx context.Context, to stage.Name, r work.Request) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.requested != nil {
		if err := o.requested(to, r); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(r.Direct) > 0 {
		o.t.Errorf("request %+v to %s has direct families", r, to)
	}
	o.requests = append(o.requests, strings.TrimSpace(fmt.Sprintf("%s %s@%d %s %s", to, r.UserID, r.EpochMS, strings.Join(r.Families, ","), r.Attributes)))
	for _, family := range r.Families {
		o.missed[fmt.Sprintf("%s@%d/%s", r.UserID, r.EpochMS, family)]++
	}
	return nil
}

// wantHits checks which cells went to the writer, each once.
func (o *outputs) wantHits(want ...string) {
	o.t.Helper()
	for cell, n := range o.hits {
		if n != 1 {
			o.t.Errorf("cell %s was written %d times", cell, n)
		}
	}
	if got := slices.Sorted(maps.Keys(o.hits)); !slices.Equal(got, want) {
		o.t.Errorf("hits are %v, want %v", got, want)
	}
}

func (o *outputs) wantRequests(want ...string) {
	o.t.Helper()
	if !slices.Equal(o.requests, want) {
		o.t.Errorf("requests are\n\t%s\nwant\n\t%s", strings.Join(o.requests, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// do runs the stage once.
func do(t testing.TB, g dynamofetcher.BatchGetter, m *stage.Message, b *work.Block, out *outputs) []stage.Verdict[*work.Block] {
	t.Helper()
	return dynamofetcher.NewStage(g, dynamofetcher.StageConfig{}).Do(t.Context(), m, b, out)
}

// cellsOf lists the cells of a block; those that are not to be looked up have a +.
func cellsOf(b *work.Block) []string {
	var cells []string
	for _, r := range b.Requests {
		for _, family := range r.Families {
			cells = append(cells, fmt.Sprintf("%s@%d/%s", r.UserID, r.EpochMS, family))
		}
		for _, family := range r.Direct {
			cells = append(cells, fmt.Sprintf("%s@%d/+%s", r.UserID, r.EpochMS, family))
		}
	}
	return cells
}

// discard takes outputs and keeps nothing of them.
type discard struct{}

var builders = sync.Pool{New: func() any { return packed.NewBuilder() }}

func (discard) Cells(_ context.Context, _ packed.Source, fn func(*packed.Builder) error) error {
	b := builders.Get().(*packed.Builder)
	defer builders.Put(b)
	if b.Size() > work.TargetPackedBytes {
		b.Reset()
	}
	return fn(b)
}

func (discard) Request(context.Context, stage.Name, work.Request) error { return nil }
