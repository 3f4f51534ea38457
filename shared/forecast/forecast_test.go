package forecast_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const file = `
run: demo
families:
  - {id: a}
  - {id: b}
  - {id: c, lane: slow}
  - {id: d, cached: false}
  - {id: e, lane: slow, cached: false}
dynamodb: {table: features, partition_key: {name: u, value: "{user_id}"}, sort_key: {name: f, value: "{family}"}}
feature_service: {url: "http://127.0.0.1:1/", fast: {max_families: 2, max_in_flight: 10}}
warm_up: {target_duration: 100s, dynamodb: {expected_hit_ratio: 0.5, item_bytes: 5000, max_read_units: 10}}
`

func parse(t *testing.T, text string) *runfile.File {
	t.Helper()
	f, err := runfile.Parse("run.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*math.Max(1, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestCounts(t *testing.T) {
	f := parse(t, file)
	d := forecast.NewDemand(f)
	for i := range int64(250) {
		d.Add("u", i, nil)
	}
	d.Add("u", 0, []string{"b", "a"}) // asked for already
	d.Add("v", 0, []string{"a"})
	d.Add("v", 0, []string{"e"}) // the union of the two
	got := forecast.Make(d, forecast.Assume(f))
	if got.Records != 253 || got.Samples != 251 || got.Cells != 250*5+2 {
		t.Errorf("%d records, %d samples, %d cells", got.Records, got.Samples, got.Cells)
	}
	// Blocks of 100, 100 and 51 samples with 3 keys each, one key in the last.
	if got.DynamoDBCalls != 3+3+2 {
		t.Errorf("%d calls", got.DynamoDBCalls)
	}
	near(t, "hits", got.Hits, 0.5*751)
	// d always, and a and b after a miss: 1, 2 or 3 families in requests of 2.
	near(t, "fast requests", got.FastRequests, 250*(0.25*1+0.5*1+0.25*2)+0.5)
	near(t, "slow requests", got.SlowRequests, 250*1.5+1)
	// 5,000 bytes are 2 units strongly, 1 eventually; a miss is half a unit.
	near(t, "read units", got.Tables[0].ReadUnits, 751*(0.5*1+0.5*0.5))
	if table := got.Tables[0]; table.Needed != 6 || table.Wanted != 6 {
		t.Errorf("table %+v", table)
	}
}

func TestUnits(t *testing.T) {
	for _, tc := range []struct {
		bytes      int64
		consistent bool
		want       float64
	}{{0, true, 1}, {4096, true, 1}, {4097, true, 2}, {0, false, 0.5}, {4096, false, 0.5}, {12288, false, 1.5}, {12289, false, 2}} {
		if got := forecast.Units(tc.bytes, tc.consistent); got != tc.want {
			t.Errorf("%d bytes, consistent %v: %v units, want %v", tc.bytes, tc.consistent, got, tc.want)
		}
	}
}

// TestBottleneck: what is scarce is named, and the stages work at the same time.
func TestBottleneck(t *testing.T) {
	f := parse(t, file)
	d := forecast.NewDemand(f)
	for i := range int64(10_000) {
		d.Add("u", i, []string{"a"})
	}
	got := forecast.Make(d, forecast.Assume(f))
	// 7,500 units for 100 s are 75 a second, and 10 are allowed.
	if got.Tables[0].Needed != 75 || got.Tables[0].Wanted != 10 || got.Duration != 750*time.Second || got.Bottleneck != "dynamo-fetcher: read units of table features" {
		t.Errorf("%+v, %v, %s", got.Tables[0], got.Duration, got.Bottleneck)
	}
	got.SetCapacity("features", 1000)
	if got.Bottleneck != "fs-fast: requests in flight (feature_service.fast.max_in_flight)" || got.Duration != 250*time.Second {
		t.Errorf("%v, %s", got.Duration, got.Bottleneck)
	}
}

func TestMoney(t *testing.T) {
	p := forecast.DefaultPrices()
	table := forecast.Table{Table: "t", ReadUnits: 25e6}
	near(t, "on demand", table.ReadCost(p).USD, 25*p.OnDemandReadMillion)
	near(t, "part of an hour is an hour", forecast.HoldCost("x", 100, 61*time.Minute, 0.5).USD, 100)
	near(t, "never less than nothing", forecast.HoldCost("x", -5, time.Hour, 0.5).USD, 0)
}

func BenchmarkMillionSamples(b *testing.B) {
	f, err := runfile.Parse("run.yaml", []byte(file))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d := forecast.NewDemand(f)
		for i := range int64(1_000_000) {
			d.Add(fmt.Sprintf("user-%d", i%50_000), i, nil)
		}
		forecast.Make(d, forecast.Assume(f))
	}
}
