package dynamodb_test

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
)

func TestFaults(t *testing.T) {
	var fault atomic.Pointer[dynamodb.Fault]
	fault.Store(&dynamodb.Fault{})
	s, c := start(t, dynamodb.Config{BeforeBatchGet: func(call dynamodb.Call) dynamodb.Fault {
		if call.Keys != 40 || len(call.Tables) != 1 || call.Number == 0 {
			t.Errorf("call %+v", call)
		}
		return *fault.Load()
	}})
	createTable(t, c, "features", 0)
	keys := make([]item, 40)
	for i := range keys {
		keys[i] = key("u", fmt.Sprint(i))
		put(t, c, "features", keys[i])
	}
	byKey := func(bad dynamodb.KeyFault) func(string, string, string) dynamodb.KeyFault {
		return func(table, partition, sort string) dynamodb.KeyFault {
			if table == "features" && partition == "u" && sort == "7" {
				return bad
			}
			return dynamodb.KeyFault{}
		}
	}
	for name, test := range map[string]struct {
		fault              dynamodb.Fault
		items, unprocessed int
		code               string // or a part of the error's text
	}{
		"none":            {dynamodb.Fault{}, 40, 0, ""},
		"delay":           {dynamodb.Fault{Delay: time.Millisecond}, 40, 0, ""},
		"all unprocessed": {dynamodb.Fault{Unprocessed: 1}, 0, 40, ""},
		"one unprocessed": {dynamodb.Fault{Key: byKey(dynamodb.KeyFault{Unprocessed: true})}, 39, 1, ""},
		"one missing":     {dynamodb.Fault{Key: byKey(dynamodb.KeyFault{Missing: true})}, 39, 0, ""},
		"one replaced":    {dynamodb.Fault{Key: byKey(dynamodb.KeyFault{Item: []byte(`{"user_id":{"S":"u"},"feature_key":{"S":"7"},"x":{"N":"1"}}`)})}, 40, 0, ""},
		"throttled":       {dynamodb.Fault{Err: dynamodb.Throttled("features")}, 0, 0, "ProvisionedThroughputExceededException"},
		"500":             {dynamodb.Fault{Err: dynamodb.InternalServerError()}, 0, 0, "InternalServerError"},
		"cut off":         {dynamodb.Fault{Truncate: true}, 0, 0, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			fault.Store(&test.fault)
			out, err := get(t, c, "features", keys...)
			if test.code != "" {
				if err == nil || !strings.Contains(err.Error(), test.code) {
					t.Errorf("error %v, want %s", err, test.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			items, unprocessed := len(out.Responses["features"]), len(out.UnprocessedKeys["features"].Keys)
			if items != test.items || unprocessed != test.unprocessed {
				t.Errorf("%d items, %d unprocessed", items, unprocessed)
			}
		})
	}
	if n := s.Stats(); n.Throttled != 1 || n.Failed != 1 || n.Unprocessed != 41 {
		t.Errorf("stats %+v", n)
	}
}

// With half of the keys unprocessed every call, asking on gets them all.
func TestHalfUnprocessed(t *testing.T) {
	_, c := start(t, dynamodb.Config{BeforeBatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{Unprocessed: 0.5} }})
	createTable(t, c, "features", 0)
	var keys []item
	for i := range 100 {
		keys = append(keys, key("u", fmt.Sprint(i)))
		put(t, c, "features", keys[i])
	}
	got, calls := map[string]bool{}, 0
	for ; len(keys) > 0 && calls < 100; calls++ {
		out, err := get(t, c, "features", keys...)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range out.Responses["features"] {
			got[i["feature_key"].(*types.AttributeValueMemberS).Value] = true
		}
		keys = out.UnprocessedKeys["features"].Keys
	}
	if len(got) != 100 || calls < 2 {
		t.Errorf("%d items in %d calls", len(got), calls)
	}
}

func TestAnswersAreInNoOrder(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	var keys []item
	for i := range 50 {
		keys = append(keys, key("u", fmt.Sprint(i)))
		put(t, c, "features", keys[i])
	}
	out, err := get(t, c, "features", keys...)
	if err != nil {
		t.Fatal(err)
	}
	inOrder := 0
	for i, got := range out.Responses["features"] {
		if got["feature_key"].(*types.AttributeValueMemberS).Value == fmt.Sprint(i) {
			inOrder++
		}
	}
	if inOrder == 50 { // once in 50! runs
		t.Error("the items come in the order of the keys")
	}
}

func TestWireForm(t *testing.T) {
	s := dynamodb.New(dynamodb.Config{})
	call := func(method, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for name, test := range map[string]struct {
		method, target, body string
		status               int
		wants                string
	}{
		"no JSON":           {"POST", "DynamoDB_20120810.BatchGetItem", `{`, 400, `"__type":"com.amazon.coral.service#SerializationException"`},
		"key of wrong form": {"POST", "DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"t":{"Keys":[{"k":"v"}]}}}`, 400, `SerializationException`},
		"no JSON to others": {"POST", "DynamoDB_20120810.ListTables", `[]`, 400, `SerializationException`},
		"two values":        {"POST", "DynamoDB_20120810.ListTables", `{} {}`, 400, `SerializationException`},
		"unknown parameter": {"POST", "DynamoDB_20120810.PutItem", `{"ConditionExpression":"x"}`, 400, `"__type":"com.amazon.coral.validate#ValidationException"`},
		"unknown operation": {"POST", "DynamoDB_20120810.Scan", `{}`, 400, `has no Scan`},
		"no target":         {"POST", "", `{}`, 400, `UnknownOperationException`},
		"get":               {"GET", "", ``, 400, `UnknownOperationException`},
		"unknown table":     {"POST", "DynamoDB_20120810.DescribeTable", `{"TableName":"t"}`, 400, `"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"`},
		"good":              {"POST", "DynamoDB_20120810.ListTables", `{}`, 200, `{"TableNames":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(test.method, test.target, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.wants) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for _, h := range []string{"X-Amz-Crc32", "X-Amzn-Requestid", "Content-Length"} {
				if w.Header().Get(h) == "" {
					t.Errorf("no header %s", h)
				}
			}
			if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.0" {
				t.Errorf("content type %s", got)
			}
		})
	}
}

// The SDK only logs a body that is not what its checksum says, so this reads it raw.
func TestCorruptBody(t *testing.T) {
	for _, corrupt := range []bool{false, true} {
		s, c := start(t, dynamodb.Config{BeforeBatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{CorruptBody: corrupt} }})
		createTable(t, c, "features", 0)
		r := httptest.NewRequest("POST", "/", strings.NewReader(`{"RequestItems":{"features":{"Keys":[{"user_id":{"S":"u"},"feature_key":{"S":"f"}}]}}}`))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.BatchGetItem")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		differs := w.Header().Get("X-Amz-Crc32") != fmt.Sprint(crc32.ChecksumIEEE(w.Body.Bytes()))
		if w.Code != 200 || differs != corrupt {
			t.Errorf("corrupt %v: status %d, checksum differs %v", corrupt, w.Code, differs)
		}
	}
}

func TestStatsOverHTTP(t *testing.T) {
	w := httptest.NewRecorder()
	dynamodb.New(dynamodb.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_stats", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"batch_gets":0`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
