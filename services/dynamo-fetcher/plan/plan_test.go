package plan_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

func template(t testing.TB, s string) *runfile.Template {
	t.Helper()
	tpl, err := runfile.ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// runFile has the families f00, f01, …, all in the table "features" under user and
// family#time.
func runFile(t testing.TB, families int) *runfile.File {
	f := &runfile.File{
		Run: "r",
		DynamoDB: &runfile.DynamoDB{
			Table:        "features",
			PartitionKey: runfile.KeyAttribute{Name: "user_id", Type: "S", Value: template(t, "{user_id}")},
			SortKey:      &runfile.KeyAttribute{Name: "feature_key", Type: "S", Value: template(t, "{family}#{pitc_timestamp}")},
		},
	}
	for i := range families {
		f.Families = append(f.Families, runfile.Family{ID: familyID(i), Lane: runfile.LaneFast, Cached: true})
	}
	return f
}

func familyID(i int) string { return fmt.Sprintf("f%02d", i) }

// users asks for the first families of so many users.
func users(n, families int) []work.Request {
	var ids []string
	for i := range families {
		ids = append(ids, familyID(i))
	}
	requests := make([]work.Request, n)
	for i := range requests {
		requests[i] = work.Request{UserID: fmt.Sprintf("u%d", i), EpochMS: 1_700_000_000_000, Families: ids}
	}
	return requests
}

func newPlan(t testing.TB, f *runfile.File, requests []work.Request) *plan.Plan {
	t.Helper()
	p, err := plan.New(plan.Compile(f), requests)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p)
	return p
}

// checkPlan checks what holds for every plan: each cell that is to be looked up belongs
// to exactly one key, each key to exactly one call, no call has a key twice or more
// keys than DynamoDB takes, and only the last call of a table is not full.
func checkPlan(t testing.TB, p *plan.Plan) {
	t.Helper()
	cells := make([]int, len(p.Cells))
	keys := make([]int, len(p.Keys))
	open := map[int32]bool{}
	for c := range p.Calls {
		call := &p.Calls[c]
		if open[call.Table] {
			t.Errorf("call %d follows a call of its table that is not full", c)
		}
		open[call.Table] = len(call.Keys) < plan.MaxKeysPerCall
		if len(call.Keys) == 0 || len(call.Keys) > plan.MaxKeysPerCall {
			t.Errorf("call %d has %d keys", c, len(call.Keys))
		}
		ids := map[string]bool{}
		for slot, key := range call.Keys {
			k := &p.Keys[key]
			keys[key]++
			if k.Call != int32(c) || k.Slot != int32(slot) {
				t.Errorf("key %d says it is slot %d of call %d; it is slot %d of call %d", key, k.Slot, k.Call, slot, c)
			}
			if ids[k.ID] {
				t.Errorf("call %d has the key %q/%q twice", c, k.Partition(), k.Sort())
			}
			ids[k.ID] = true
			if found, ok := p.Find(call, []byte(k.ID)); !ok || found != key {
				t.Errorf("key %d is not found by its id", key)
			}
			for cell := k.First; cell >= 0; cell = p.Cells[cell].Next {
				cells[cell]++
				if call.Family >= 0 && p.Cells[cell].Family != call.Family {
					t.Errorf("call %d is of family %d and has a cell of family %d", c, call.Family, p.Cells[cell].Family)
				}
			}
		}
	}
	for i, n := range keys {
		if n != 1 {
			t.Errorf("key %d is in %d calls", i, n)
		}
	}
	for i, n := range cells {
		if want := map[bool]int{true: 1, false: 0}[p.Cells[i].State == plan.Pending]; n != want {
			t.Errorf("cell %d (state %d) belongs to %d keys", i, p.Cells[i].State, n)
		}
	}
}

func TestCallsArePackedFamilyByFamily(t *testing.T) {
	tests := []struct {
		users, families int
		keys, single    []int // of the calls: how many keys; of which one family only
	}{
		{users: 1, families: 1, keys: []int{1}, single: []int{0}},
		{users: 100, families: 3, keys: []int{100, 100, 100}, single: []int{0, 1, 2}},
		{users: 130, families: 2, keys: []int{100, 100, 60}, single: []int{0, 1, -1}},
		{users: 30, families: 10, keys: []int{100, 100, 100}, single: []int{-1, -1, -1}},
		{users: 50, families: 3, keys: []int{100, 50}, single: []int{-1, 2}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d users × %d families", tt.users, tt.families), func(t *testing.T) {
			p := newPlan(t, runFile(t, tt.families), users(tt.users, tt.families))
			var keys, single []int
			for _, c := range p.Calls {
				keys = append(keys, len(c.Keys))
				single = append(single, int(c.Family))
			}
			if !slices.Equal(keys, tt.keys) || !slices.Equal(single, tt.single) {
				t.Errorf("calls have %v keys of families %v, want %v of %v", keys, single, tt.keys, tt.single)
			}
		})
	}
}

func TestAFullBlockIsFullCallsOfOneFamilyEach(t *testing.T) {
	p := newPlan(t, runFile(t, 50), users(100, 50))
	if len(p.Calls) != 50 {
		t.Fatalf("%d calls, want 50", len(p.Calls))
	}
	for i, c := range p.Calls {
		if len(c.Keys) != 100 || c.Family != int32(i) {
			t.Errorf("call %d has %d keys of family %d", i, len(c.Keys), c.Family)
		}
		partitions := map[string]bool{}
		for _, key := range c.Keys {
			partitions[p.Keys[key].Partition()] = true
		}
		if len(partitions) != 100 {
			t.Errorf("call %d has keys of %d partitions, want 100", i, len(partitions))
		}
	}
}

func TestEachTableHasItsOwnCalls(t *testing.T) {
	f := runFile(t, 4)
	f.Families[1].Table = "other"
	f.Families[3].Table = "other"
	p := newPlan(t, f, users(70, 4))
	var tables []string
	for _, c := range p.Calls {
		tables = append(tables, fmt.Sprint(p.Run.Tables[c.Table], " ", len(c.Keys)))
	}
	if want := []string{"features 100", "features 40", "other 100", "other 40"}; !slices.Equal(tables, want) {
		t.Errorf("calls are %v, want %v", tables, want)
	}
}

func TestOneKeyServesAllItsSamples(t *testing.T) {
	f := runFile(t, 2)
	f.DynamoDB.SortKey.Value = template(t, "{family}#{pitc_date}")
	requests := users(3, 2)
	requests[1].UserID = requests[0].UserID // same user and day, another hour
	requests[1].EpochMS += 3_600_000
	p := newPlan(t, f, requests)
	if len(p.Keys) != 4 {
		t.Fatalf("%d keys, want 4: two users × two families", len(p.Keys))
	}
	var served []int
	for _, k := range p.Keys {
		n := 0
		for c := k.First; c >= 0; c = p.Cells[c].Next {
			n++
		}
		served = append(served, n)
	}
	if want := []int{2, 1, 2, 1}; !slices.Equal(served, want) {
		t.Errorf("keys serve %v cells, want %v", served, want)
	}
}

func TestNumbersThatDynamoDBTakesForEqualAreOneKey(t *testing.T) {
	f := runFile(t, 1)
	f.DynamoDB.PartitionKey.Type = "N"
	requests := users(3, 1)
	requests[0].UserID, requests[1].UserID, requests[2].UserID = "7", "007", "7.0"
	p := newPlan(t, f, requests)
	if len(p.Keys) != 1 || p.Keys[0].Partition() != "7" {
		t.Errorf("keys are %v, want the one key 7", p.Keys)
	}
}

func TestAKeyOfTwoFamiliesIsSentOnce(t *testing.T) {
	f := runFile(t, 0)
	f.Families = []runfile.Family{{ID: "b", Cached: true}, {ID: "a-b", Cached: true}}
	f.DynamoDB.PartitionKey.Value = template(t, "{user_id}-{family}")
	f.DynamoDB.SortKey = nil
	p := newPlan(t, f, []work.Request{
		{UserID: "u-a", Families: []string{"b"}},
		{UserID: "u", Families: []string{"a-b"}},
	})
	if len(p.Keys) != 1 || p.Calls[0].Family != -1 {
		t.Errorf("%d keys in a call of family %d, want one key of several families", len(p.Keys), p.Calls[0].Family)
	}
}

func TestPartitionAndSortValuesAreToldApart(t *testing.T) {
	f := runFile(t, 1)
	f.DynamoDB.SortKey.Value = template(t, "{pitc_timestamp_ms}{family}")
	p := newPlan(t, f, []work.Request{
		{UserID: "u1", EpochMS: 23, Families: []string{"f00"}},
		{UserID: "u12", EpochMS: 3, Families: []string{"f00"}},
	})
	if len(p.Keys) != 2 {
		t.Errorf("%d keys, want 2", len(p.Keys))
	}
}

func TestKeysThatNoTableCanHold(t *testing.T) {
	tests := []struct {
		name, user, kind, want string
	}{
		{"text for a number", "u1", "N", `type N, but its value "u1" is no number`},
		{"too many digits", strings.Repeat("9", 39), "N", "is no number that DynamoDB can hold"},
		{"too long", strings.Repeat("x", 1024), "S", `"feature_key" would have 1025 bytes; DynamoDB allows 1024`},
		{"no UTF-8", "\xff", "S", "no UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := runFile(t, 1)
			f.DynamoDB.PartitionKey.Type = tt.kind
			f.DynamoDB.SortKey.Value = template(t, "{user_id}#")
			good := work.Request{UserID: "1", Families: []string{"f00"}}
			bad := work.Request{UserID: tt.user, Families: []string{"f00"}}
			p := newPlan(t, f, []work.Request{good, bad})
			if len(p.Unfit) != 1 || p.Unfit[0].Cell != 1 || !strings.Contains(p.Unfit[0].Reason, tt.want) {
				t.Errorf("unfit are %+v, want cell 1 with %q", p.Unfit, tt.want)
			}
			if len(p.Keys) != 1 {
				t.Errorf("%d keys, want the good one", len(p.Keys))
			}
		})
	}
}

func TestFamiliesThatAreNotCachedAreMisses(t *testing.T) {
	f := runFile(t, 2)
	f.Families[1].Cached = false
	p := newPlan(t, f, users(2, 2))
	var states []plan.State
	for _, c := range p.Cells {
		states = append(states, c.State)
	}
	if want := []plan.State{plan.Pending, plan.Missed, plan.Pending, plan.Missed}; !slices.Equal(states, want) {
		t.Errorf("states are %v, want %v", states, want)
	}
}

func TestAFamilyThatTheRunDoesNotHave(t *testing.T) {
	_, err := plan.New(plan.Compile(runFile(t, 1)), []work.Request{{UserID: "u", Families: []string{"nope"}}})
	if err == nil || !strings.Contains(err.Error(), `request 1 asks for the family "nope"`) {
		t.Errorf("error is %v", err)
	}
}

func TestRequestBody(t *testing.T) {
	f := runFile(t, 1)
	f.DynamoDB.ConsistentRead = true
	requests := users(2, 1)
	requests[1].UserID = "quote\" slash\\ line\n ü"
	p := newPlan(t, f, requests)
	body := p.AppendRequest(nil, 0, p.Calls[0].Keys)
	var got struct {
		RequestItems map[string]struct {
			Keys           []map[string]map[string]string
			ConsistentRead bool
		}
		ReturnConsumedCapacity string
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	table := got.RequestItems["features"]
	if got.ReturnConsumedCapacity != "TOTAL" || !table.ConsistentRead || len(table.Keys) != 2 {
		t.Fatalf("request is %s", body)
	}
	for i, key := range table.Keys {
		if key["user_id"]["S"] != requests[i].UserID || key["feature_key"]["S"] != "f00#2023-11-14T22:13:20Z" {
			t.Errorf("key %d is %v", i, key)
		}
	}
}

func TestAppendNumber(t *testing.T) {
	tests := []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"00", "0"}, {"0.000", "0"}, {"7", "7"}, {"+7", "7"}, {"007", "7"}, {"-7", "-7"},
		{"7.0", "7"}, {"7.50", "7.5"}, {"0.5", "0.5"}, {".5", "0.5"}, {"5.", "5"}, {"-.05", "-0.05"},
		{"1e3", "1000"}, {"1.25E+1", "12.5"}, {"125e-4", "0.0125"}, {"1200", "1200"}, {"0.00120e2", "0.12"},
		{"1e125", "1" + strings.Repeat("0", 125)}, {"1e-130", "0." + strings.Repeat("0", 129) + "1"},
		{strings.Repeat("9", 38), strings.Repeat("9", 38)},
		{"1234567890123", "1234567890123"},
	}
	for _, tt := range tests {
		if got, ok := plan.AppendNumber(nil, tt.in); !ok || string(got) != tt.want {
			t.Errorf("%q gives %q, %t; want %q", tt.in, got, ok, tt.want)
		}
	}
	for _, in := range []string{
		"", "-", "+", ".", "e5", "1e", "1e5.0", "1 ", " 1", "0x10", "NaN", "1_000", "--1", "1.2.3", "1e126", "1e-131",
		strings.Repeat("9", 39), "1e99999999999999999999", "1,5",
	} {
		if got, ok := plan.AppendNumber([]byte("x"), in); ok || string(got) != "x" {
			t.Errorf("%q is taken for the number %q", in, got)
		}
	}
}

func FuzzAppendNumber(f *testing.F) {
	for _, s := range []string{"0", "-1.5e3", "007", ".5", "1e-130", "9e125", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain, ok := plan.AppendNumber(nil, text)
		if !ok {
			return
		}
		again, ok := plan.AppendNumber(nil, plain)
		if !ok || string(again) != string(plain) {
			t.Errorf("%q gives %q, which gives %q, %t", text, plain, again, ok)
		}
		if !json.Valid(plain) {
			t.Errorf("%q gives %q, which is no JSON number", text, plain)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	run, requests := plan.Compile(runFile(b, 50)), users(100, 50)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.New(run, requests); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/cell")
}
