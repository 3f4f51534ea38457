package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Assumptions are what a forecast cannot know from the run file and the records.
type Assumptions struct {
	DynamoDBCall     time.Duration `json:"dynamodb_call"`     // of one BatchGetItem
	FastRequest      time.Duration `json:"fast_request"`      // of one request on the fast lane
	SlowRequest      time.Duration `json:"slow_request"`      // on the slow lane
	FetcherInstances int           `json:"fetcher_instances"` // processes that call DynamoDB
	WriteBytes       int64         `json:"write_bytes"`       // a second, of all writers
	HitRatio         float64       `json:"hit_ratio"`         // of cached cells
	ItemBytes        int64         `json:"item_bytes"`        // of an item, and of a cell
	AutoIsFast       bool          `json:"auto_is_fast"`      // families whose lane is to be found are counted as fast
}

// Assume gives the assumptions for a run file: its own where it makes them.
func Assume(f *runfile.File) Assumptions {
	a := Assumptions{
		DynamoDBCall: 20 * time.Millisecond, FastRequest: 500 * time.Millisecond, SlowRequest: 5 * time.Second,
		FetcherInstances: 1, WriteBytes: 50_000_000,
		HitRatio: runfile.DefaultHitRatio, ItemBytes: runfile.DefaultItemBytes, AutoIsFast: f.HasAuto(),
	}
	if w := f.WarmUp; w != nil && w.DynamoDB != nil {
		a.HitRatio, a.ItemBytes = w.DynamoDB.ExpectedHitRatio, w.DynamoDB.ItemBytes
	}
	return a
}

// Table is what a run takes from one DynamoDB table.
type Table struct {
	Table     string  `json:"table"`
	Keys      int64   `json:"keys"`
	ReadUnits float64 `json:"read_units"` // in all
	// Needed are the read units a second with which the run takes its target_duration.
	Needed int64 `json:"needed_read_units"`
	// Wanted is Needed within max_read_units.
	Wanted int64 `json:"wanted_read_units"`
	// Capacity is what the table is expected to give, in read units a second: Wanted where
	// warm-up raises it, or what SetCapacity was told; 0 = not known, and taken for enough.
	Capacity int64 `json:"read_units_per_second"`
}

// Stage is what a stage does, and how long that takes at least.
type Stage struct {
	Stage    string        `json:"stage"`
	Calls    float64       `json:"calls"` // expected: to a backend, or files' bytes for the writer
	Duration time.Duration `json:"duration"`
	Limit    string        `json:"limit"` // what it waits for, in words
}

// Forecast is what a run will take.
type Forecast struct {
	Records, Samples, Cells int64
	Hits                    float64 // expected
	DynamoDBCalls           int64
	FastRequests            float64 // expected
	SlowRequests            float64
	Bytes                   int64 // of all cells, before they are compressed
	Tables                  []Table
	Stages                  []Stage
	Duration                time.Duration // of the slowest stage: they work at the same time
	Bottleneck              string
	Assumptions             Assumptions

	file *runfile.File
}

// bytesPerUnit is what one strongly consistent read unit covers; each item is rounded up by
// itself.
const bytesPerUnit = 4096

// Units gives the read units of one read.
func Units(itemBytes int64, consistent bool) float64 {
	units := float64(max(1, (itemBytes+bytesPerUnit-1)/bytesPerUnit))
	if !consistent {
		units /= 2
	}
	return units
}

// Make makes a forecast.
func Make(d *Demand, a Assumptions) *Forecast {
	f := &Forecast{Records: d.records, Samples: int64(d.samples.Len()), DynamoDBCalls: d.calls(), Assumptions: a, file: d.file}
	keys := map[string]int64{}
	most := runfile.DefaultMaxFamilies
	if d.file.FeatureService != nil {
		most = d.file.FeatureService.Fast.MaxFamilies
	}
	var cached int64
	for i, n := range d.counts() {
		s := &d.shapes[i]
		f.Cells += n * int64(len(s.families))
		for _, t := range s.tables {
			keys[t.table] += n * int64(t.keys)
			cached += n * int64(t.keys)
		}
		f.FastRequests += float64(n) * requests(s.fast, 1-a.HitRatio, most)
		f.SlowRequests += float64(n) * (float64(s.slow.direct) + float64(s.slow.cached)*(1-a.HitRatio))
	}
	f.Hits = float64(cached) * a.HitRatio
	f.Bytes = f.Cells * a.ItemBytes
	for table, n := range keys {
		f.Tables = append(f.Tables, f.table(table, n))
	}
	slices.SortFunc(f.Tables, func(a, b Table) int { return strings.Compare(a.Table, b.Table) })
	f.time()
	return f
}

func (f *Forecast) table(name string, keys int64) Table {
	consistent := f.file.DynamoDB != nil && f.file.DynamoDB.ConsistentRead
	hit, miss := Units(f.Assumptions.ItemBytes, consistent), Units(0, consistent)
	t := Table{Table: name, Keys: keys}
	t.ReadUnits = float64(keys) * (f.Assumptions.HitRatio*hit + (1-f.Assumptions.HitRatio)*miss)
	target := runfile.DefaultTargetDuration
	if w := f.file.WarmUp; w != nil {
		target = w.TargetDuration
	}
	t.Needed = max(1, int64(math.Ceil(t.ReadUnits/target.Seconds())))
	t.Wanted = t.Needed
	if w := f.file.WarmUp; w != nil && w.DynamoDB != nil {
		t.Wanted = min(t.Needed, w.DynamoDB.MaxReadUnits)
		t.Capacity = t.Wanted
	}
	return t
}

// requests gives the expected number of requests of a sample on the fast lane, whose
// families are asked for together: each cached one is missed with the given probability,
// and a request carries so many families at most.
func requests(l lookups, miss float64, most int) float64 {
	expected := 0.0
	for misses, p := range binomial(l.cached, miss) {
		expected += p * float64((l.direct+misses+most-1)/most)
	}
	return expected
}

// binomial gives the probabilities of 0 to n of n events of probability p.
func binomial(n int, p float64) []float64 {
	of := make([]float64, n+1)
	of[0] = 1
	for i := range n {
		for k := i + 1; k > 0; k-- {
			of[k] = of[k]*(1-p) + of[k-1]*p
		}
		of[0] *= 1 - p
	}
	return of
}

// SetCapacity says what a table gives, in read units a second, where that was looked up.
func (f *Forecast) SetCapacity(table string, units int64) {
	for i := range f.Tables {
		if f.Tables[i].Table == table && units > 0 {
			f.Tables[i].Capacity = units
		}
	}
	f.time()
}

// time works out how long each stage takes by itself.
func (f *Forecast) time() {
	a := &f.Assumptions
	f.Stages = nil
	add := func(stage string, calls float64, seconds float64, limit string) {
		if calls > 0 {
			f.Stages = append(f.Stages, Stage{stage, calls, time.Duration(min(seconds, maxSeconds) * float64(time.Second)).Round(time.Second), limit})
		}
	}
	if db := f.file.DynamoDB; db != nil {
		seconds := float64(f.DynamoDBCalls) * a.DynamoDBCall.Seconds() / float64(db.MaxInFlight*a.FetcherInstances)
		limit := "calls in flight (dynamodb.max_in_flight)"
		for _, t := range f.Tables {
			if s := t.ReadUnits / float64(t.Capacity); t.Capacity > 0 && s > seconds {
				seconds, limit = s, "read units of table "+t.Table
			}
		}
		add("dynamo-fetcher", float64(f.DynamoDBCalls), seconds, limit)
	}
	if fs := f.file.FeatureService; fs != nil {
		fast, fastLimit := inFlight("fast", fs.Fast.MaxInFlight, runfile.DefaultFastInFlight)
		slow, slowLimit := inFlight("slow", fs.Slow.MaxInFlight, runfile.DefaultSlowInFlight)
		add("fs-fast", f.FastRequests, f.FastRequests*a.FastRequest.Seconds()/fast, fastLimit)
		add("fs-slow", f.SlowRequests, f.SlowRequests*a.SlowRequest.Seconds()/slow, slowLimit)
	}
	add("writer", float64(f.Cells), float64(f.Bytes)/float64(a.WriteBytes), "bytes that are written")
	if len(f.Stages) == 0 {
		f.Duration, f.Bottleneck = 0, ""
		return
	}
	slowest := slices.MaxFunc(f.Stages, func(a, b Stage) int { return cmp.Compare(a.Duration, b.Duration) })
	f.Duration, f.Bottleneck = slowest.Duration, slowest.Stage+": "+slowest.Limit
}

// inFlight gives a lane's requests in flight; where they are found while the run goes on, the
// number that an absent setting stands for is as good as any.
func inFlight(lane string, most, usual int) (float64, string) {
	if most == 0 {
		return float64(usual), fmt.Sprintf("requests in flight (feature_service.%s.max_in_flight is auto; %d are assumed)", lane, usual)
	}
	return float64(most), fmt.Sprintf("requests in flight (feature_service.%s.max_in_flight)", lane)
}

// maxSeconds keeps durations within what time.Duration holds.
const maxSeconds = 1e9
