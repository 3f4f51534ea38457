package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// FuzzRequest sends any body to any operation: the answer is JSON, and none is a 500.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][2]string{
		{"BatchGetItem", `{"RequestItems":{"features":{"Keys":[{"user_id":{"S":"u1"},"feature_key":{"S":"credit#2025-01-31T12:00:00Z"}}],"ConsistentRead":true}},"ReturnConsumedCapacity":"TOTAL"}`},
		{"BatchGetItem", `{"RequestItems":{"features":{"Keys":[{"user_id":{}}]}}}`},
		{"BatchWriteItem", `{"RequestItems":{"features":[{"PutRequest":{"Item":{"user_id":{"S":"u"},"feature_key":{"S":"f"},"l":{"L":[{"M":{"a":{"NS":["1"]}}}]}}}},{"DeleteRequest":{"Key":{"user_id":{"S":"v"},"feature_key":{"S":"f"}}}}]}}`},
		{"CreateTable", `{"TableName":"new","KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"N"}],"BillingMode":"PAY_PER_REQUEST"}`},
		{"GetItem", `{"TableName":"features","Key":{"user_id":{"S":"u1"},"feature_key":{"S":"sms#2025-01-31T12:00:00Z"}}}`},
		{"PutItem", `{"TableName":"features","Item":{"user_id":{"S":"u"},"feature_key":{"S":"f"},"b":{"B":"AA=="},"n":{"N":"1e5"},"z":{"NULL":true}}}`},
		{"UpdateTable", `{"TableName":"features","WarmThroughput":{"ReadUnitsPerSecond":13000,"WriteUnitsPerSecond":4000}}`},
		{"TagResource", `{"ResourceArn":"arn:aws:dynamodb:r:1:table/features","Tags":[{"Key":"a","Value":"b"}]}`},
	} {
		f.Add(seed[0], seed[1])
	}
	job := job(f, byUser+"}")
	f.Fuzz(func(t *testing.T, operation, body string) {
		s := New(Config{})
		if err := s.CreateTables(job, 0, SynthConfig{HitRatio: 1, FeaturesPerFamily: 3}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", targetPrefix+operation)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzMatch reads any key as a cell; what is found must make the same key.
func FuzzMatch(f *testing.F) {
	f.Add("{user_id}", "{family}#{pitc_timestamp}", "u1", "credit#2025-01-31T12:00:00.123Z")
	f.Add("{family}{pitc_date}", "{user_id}x{pitc_timestamp_ms}", "sms2025-01-31", "u1x1738281600000")
	f.Add("{user_id}{user_id}", "{family}", "aa", "a#b")
	base := job(f, byUser+"}")
	families := newSynth(f, base, SynthConfig{}).families
	f.Fuzz(func(t *testing.T, one, two, partition, sort string) {
		if len(partition)+len(sort) > 100 || len(one)+len(two) > 60 {
			t.Skip("too long for templates that can be read in many ways")
		}
		file := *base
		spec := fmt.Sprintf(`{"run":"r","families":[{"id":"credit"}],"dynamodb":{"table":"t","partition_key":{"name":"pk","value":%s},"sort_key":{"name":"sk","value":%s}}}`, quote(one), quote(two))
		parsed, err := parseJob(spec)
		if err != nil {
			return
		}
		file.DynamoDB = parsed.DynamoDB
		m := newMatcher(file.DynamoDB, families)
		c, ok := m.match(partition, sort)
		if !ok {
			return
		}
		id := ""
		if c.family != nil {
			id = c.family.ID
		}
		if got := string(file.DynamoDB.PartitionKey.Value.Append(nil, c.userID, id, c.time)); got != partition {
			t.Errorf("%q is read as %+v, which gives %q", partition, c, got)
		}
	})
}

func parseJob(text string) (*runfile.File, error) { return runfile.Parse("run.json", []byte(text)) }

func quote(s string) string { return string(values.AppendString(nil, s, false)) }

// FuzzCanonicalNumber compares with exact arithmetic: equal numbers, and only they,
// look equal.
func FuzzCanonicalNumber(f *testing.F) {
	for _, s := range []string{"0", "-0.0", "12.50", "1.25e1", "7.0", "+3", "1e125", "1e-130", "00012", ".5", "5.", "1e", "", "-", "1..2", "99999999999999999999999999999999999999"} {
		f.Add(s, "7")
	}
	f.Add("1.5", "15e-1")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, okX := appendCanonicalNumber([]byte("before"), a)
		y, okY := appendCanonicalNumber([]byte("before"), b)
		if !okX || !okY {
			if !okX && string(x) != "before" {
				t.Errorf("%q leaves %q", a, x)
			}
			return
		}
		want, ok := new(big.Rat).SetString(a)
		if !ok {
			t.Fatalf("%q is taken for a number", a)
		}
		if got, ok := new(big.Rat).SetString(string(x[len("before"):])); !ok || got.Cmp(want) != 0 {
			t.Errorf("%q becomes %q", a, x)
		}
		other, _ := new(big.Rat).SetString(b)
		if (string(x) == string(y)) != (want.Cmp(other) == 0) {
			t.Errorf("%q and %q become %q and %q", a, b, x, y)
		}
	})
}

// BenchmarkBatchGet answers 100 made-up items of 60 features.
func BenchmarkBatchGet(b *testing.B) {
	s := New(Config{})
	if err := s.CreateTables(job(b, byUser+"}"), 0, SynthConfig{HitRatio: 1, FeaturesPerFamily: 60}); err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"RequestItems":{"features":{"Keys":[`)
	for i := range 100 {
		if i > 0 {
			body = append(body, ',')
		}
		at := time.UnixMilli(1738324800000 + int64(i)*1000).UTC().Format(time.RFC3339)
		body = fmt.Appendf(body, `{"user_id":{"S":"user-%d"},"feature_key":{"S":"credit#%s"}}`, i, at)
	}
	body = append(body, `]}}}`...)
	var answer []byte
	b.ReportAllocs()
	for range b.N {
		get, err := decodeBatchGet(body)
		if err == nil {
			err = s.resolve(get)
		}
		if err == nil {
			answer, err = s.appendBatchGet(answer[:0], get, &Fault{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(answer)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/item")
}
