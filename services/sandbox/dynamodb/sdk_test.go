package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/shared/awshttp"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2025, 1, 31, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start serves a stand-in and gives the SDK's client of it, which does not retry. Its
// transport is the one of the product: with the SDK's own some calls to a server as fast
// as this one fail.
func start(t testing.TB, cfg dynamodb.Config) (*dynamodb.Server, *sdk.Client) {
	t.Helper()
	s := dynamodb.New(cfg)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, sdk.New(sdk.Options{
		BaseEndpoint:     aws.String(h.URL),
		Region:           "eu-west-1",
		RetryMaxAttempts: 1,
		HTTPClient:       awshttp.New(16),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
}

// createTable makes a table with the keys user_id and feature_key; units 0 is on demand.
func createTable(t testing.TB, c *sdk.Client, name string, units int64) {
	t.Helper()
	in := &sdk.CreateTableInput{
		TableName: &name,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("user_id"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("feature_key"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("feature_key"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("user_id"), AttributeType: types.ScalarAttributeTypeS},
		},
		BillingMode: types.BillingModePayPerRequest,
		Tags:        []types.Tag{{Key: aws.String("team"), Value: aws.String("ml")}},
	}
	if units > 0 {
		in.BillingMode = types.BillingModeProvisioned
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: aws.Int64(1000)}
	}
	if _, err := c.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func key(user, feature string) item { return item{"user_id": text(user), "feature_key": text(feature)} }

func put(t testing.TB, c *sdk.Client, table string, i item) {
	t.Helper()
	if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: &table, Item: i}); err != nil {
		t.Fatal(err)
	}
}

// get reads keys with one call.
func get(t testing.TB, c *sdk.Client, table string, keys ...item) (*sdk.BatchGetItemOutput, error) {
	t.Helper()
	return c.BatchGetItem(t.Context(), &sdk.BatchGetItemInput{
		RequestItems:           map[string]types.KeysAndAttributes{table: {Keys: keys}},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
}

// code gives the code of an error of the service.
func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Fatalf("error %q, want %s", got, want)
	}
}

func TestItemsOfAllTypes(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	i := key("u1", "credit")
	i["n"] = &types.AttributeValueMemberN{Value: "-12.50"}
	i["bool"] = &types.AttributeValueMemberBOOL{Value: true}
	i["null"] = &types.AttributeValueMemberNULL{Value: true}
	i["b"] = &types.AttributeValueMemberB{Value: []byte{0, 255}}
	i["ss"] = &types.AttributeValueMemberSS{Value: []string{"a", "ü\n"}}
	i["ns"] = &types.AttributeValueMemberNS{Value: []string{"1", "2"}}
	i["l"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x"), &types.AttributeValueMemberM{Value: item{"k": text("v")}}}}
	put(t, c, "features", i)

	one, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("features"), Key: key("u1", "credit"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := get(t, c, "features", key("u1", "credit"), key("u1", "missing"))
	if err != nil {
		t.Fatal(err)
	}
	if len(batch.Responses["features"]) != 1 || len(batch.UnprocessedKeys) != 0 {
		t.Fatalf("answer %v", batch)
	}
	for name, want := range i {
		for _, got := range []types.AttributeValue{one.Item[name], batch.Responses["features"][0][name]} {
			if !equal(got, want) {
				t.Errorf("%s is %#v, want %#v", name, got, want)
			}
		}
	}
	if units := *batch.ConsumedCapacity[0].CapacityUnits; units != 1 {
		t.Errorf("two eventually consistent reads, one of nothing, used %v units", units)
	}
}

func equal(a, b types.AttributeValue) bool {
	return fmt.Sprintf("%+v", flat(a)) == fmt.Sprintf("%+v", flat(b))
}

// flat gives an attribute without the pointers in it.
func flat(a types.AttributeValue) any {
	switch v := a.(type) {
	case *types.AttributeValueMemberL:
		var out []any
		for _, e := range v.Value {
			out = append(out, flat(e))
		}
		return out
	case *types.AttributeValueMemberM:
		out := map[string]any{}
		for k, e := range v.Value {
			out[k] = flat(e)
		}
		return out
	case *types.AttributeValueMemberS:
		return *v
	case *types.AttributeValueMemberN:
		return *v
	case *types.AttributeValueMemberB:
		return *v
	case *types.AttributeValueMemberSS:
		return *v
	case *types.AttributeValueMemberNS:
		return *v
	case *types.AttributeValueMemberBOOL:
		return *v
	default:
		return fmt.Sprintf("%T", a)
	}
}

func TestGetOfNothing(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	out, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("features"), Key: key("u", "f")})
	if err != nil || out.Item != nil {
		t.Errorf("item %v, error %v", out, err)
	}
}

func TestRefusedBatchGets(t *testing.T) {
	s, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	many := make([]item, 101)
	for i := range many {
		many[i] = key("u1", fmt.Sprint(i))
	}
	for name, test := range map[string]struct {
		table string
		keys  []item
		code  string
		says  string
	}{
		"101 keys":         {"features", many, "ValidationException", "Too many items"},
		"doubled key":      {"features", []item{key("u", "f"), key("v", "f"), key("u", "f")}, "ValidationException", "duplicates"},
		"unknown table":    {"nothing", []item{key("u", "f")}, "ResourceNotFoundException", "nothing"},
		"half a key":       {"features", []item{{"user_id": text("u")}}, "ValidationException", "schema"},
		"key too many":     {"features", []item{{"user_id": text("u"), "feature_key": text("f"), "x": text("x")}}, "ValidationException", "schema"},
		"key of no string": {"features", []item{{"user_id": &types.AttributeValueMemberN{Value: "1"}, "feature_key": text("f")}}, "ValidationException", "schema"},
		"empty key":        {"features", []item{key("", "f")}, "ValidationException", "empty"},
		"no key":           {"features", []item{}, "ValidationException", "at least one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(t, c, test.table, test.keys...)
			wantCode(t, err, test.code)
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v does not say %q", err, test.says)
			}
		})
	}
	_, err := c.BatchGetItem(t.Context(), &sdk.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		"features": {Keys: []item{key("u", "f")}, ProjectionExpression: aws.String("a")}}})
	if !strings.Contains(err.Error(), "ProjectionExpression") {
		t.Errorf("a projection is refused with %v", err)
	}
	if _, err := get(t, c, "features", many[:100]...); err != nil {
		t.Error(err)
	}
	if n := s.Stats(); n.Calls["BatchGetItem"] != 10 || n.Keys != 100 || n.Missing != 100 {
		t.Errorf("stats %+v", n)
	}
}

// One partition gives at most 1 MB a call, and what is above it is not missing.
func TestPartitionLimit(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	var keys []item
	for n := range 8 {
		user := []string{"one", "another"}[n/6]
		k := key(user, fmt.Sprint(n))
		keys = append(keys, k)
		full := key(user, fmt.Sprint(n))
		full["blob"] = text(strings.Repeat("x", 300<<10))
		put(t, c, "features", full)
	}
	seen := map[string]bool{}
	calls := 0
	for len(keys) > 0 {
		out, err := get(t, c, "features", keys...)
		if err != nil {
			t.Fatal(err)
		}
		users := map[string]int{}
		for _, i := range out.Responses["features"] {
			users[i["user_id"].(*types.AttributeValueMemberS).Value]++
			seen[i["feature_key"].(*types.AttributeValueMemberS).Value] = true
		}
		if users["one"] > 3 {
			t.Errorf("%d items of 300 KB from one partition", users["one"])
		}
		keys = out.UnprocessedKeys["features"].Keys
		calls++
	}
	if len(seen) != 8 || calls != 2 {
		t.Errorf("%d items in %d calls", len(seen), calls)
	}
}

func TestCallLimit(t *testing.T) {
	_, c := start(t, dynamodb.Config{CallBytes: 1000})
	createTable(t, c, "features", 0)
	var keys []item
	for n := range 10 {
		i := key(fmt.Sprint("user", n), "f")
		keys = append(keys, key(fmt.Sprint("user", n), "f"))
		i["blob"] = text(strings.Repeat("x", 400))
		put(t, c, "features", i)
	}
	out, err := get(t, c, "features", keys...)
	if err != nil || len(out.Responses["features"]) != 2 || len(out.UnprocessedKeys["features"].Keys) != 8 {
		t.Errorf("%d items, %d unprocessed, %v", len(out.Responses["features"]), len(out.UnprocessedKeys["features"].Keys), err)
	}
}

// Throttling hides in answers as long as anything was processed.
func TestThrottling(t *testing.T) {
	now := newClock()
	s, c := start(t, dynamodb.Config{Now: now.Now})
	createTable(t, c, "features", 10)
	keys := make([]item, 100)
	for i := range keys {
		keys[i] = key("u", fmt.Sprint(i))
	}
	out, err := get(t, c, "features", keys...)
	if err != nil || len(out.UnprocessedKeys["features"].Keys) != 80 || *out.ConsumedCapacity[0].CapacityUnits != 10 {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = get(t, c, "features", keys...)
	throttled, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	if len(throttled.ThrottlingReasons) != 1 || *throttled.ThrottlingReasons[0].Reason != "TableReadProvisionedThroughputExceeded" {
		t.Errorf("reasons %v", throttled.ThrottlingReasons)
	}
	now.forward(3 * time.Second)
	if out, err = get(t, c, "features", keys...); err != nil || len(out.UnprocessedKeys["features"].Keys) != 40 {
		t.Errorf("%+v, %v", out, err)
	}
	now.forward(time.Hour)
	if out, err = get(t, c, "features", keys...); err != nil || len(out.UnprocessedKeys) != 0 {
		t.Errorf("unused capacity is not kept: %+v, %v", out, err)
	}
	if n := s.Stats(); n.Throttled != 1 || n.Unprocessed != 80+100+40 || n.ReadUnits != 10+30+50 {
		t.Errorf("stats %+v", n)
	}
}

func TestBatchWrite(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	write := func(requests ...types.WriteRequest) error {
		_, err := c.BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"features": requests}})
		return err
	}
	var puts []types.WriteRequest
	for n := range 26 {
		puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: key("u", fmt.Sprint(n))}})
	}
	wantCode(t, write(puts...), "ValidationException")
	wantCode(t, write(puts[0], puts[0]), "ValidationException")
	if err := write(puts[:25]...); err != nil {
		t.Fatal(err)
	}
	if err := write(types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key("u", "3")}}); err != nil {
		t.Fatal(err)
	}
	out, err := get(t, c, "features", key("u", "2"), key("u", "3"))
	if err != nil || len(out.Responses["features"]) != 1 {
		t.Errorf("%v, %v", out, err)
	}
	d, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("features")})
	if err != nil || *d.Table.ItemCount != 24 {
		t.Errorf("%v, %v", d, err)
	}
}

func TestPutsThatAreRefused(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	with := func(a types.AttributeValue) item {
		i := key("u", "f")
		i["a"] = a
		return i
	}
	for name, i := range map[string]item{
		"no key":         {"a": text("b")},
		"no number":      with(&types.AttributeValueMemberN{Value: "abc"}),
		"39 digits":      with(&types.AttributeValueMemberN{Value: strings.Repeat("9", 39)}),
		"too large":      with(text(strings.Repeat("x", 401<<10))),
		"doubled in set": with(&types.AttributeValueMemberNS{Value: []string{"1", "1.0"}}),
		"empty set":      with(&types.AttributeValueMemberSS{Value: []string{}}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("features"), Item: i})
			wantCode(t, err, "ValidationException")
		})
	}
}

func TestNumericKeysAreComparedAsNumbers(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	_, err := c.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName:            aws.String("numbers"),
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeN}},
		BillingMode:          types.BillingModePayPerRequest,
	})
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) item { return item{"id": &types.AttributeValueMemberN{Value: s}} }
	put(t, c, "numbers", number("12.0"))
	out, err := get(t, c, "numbers", number("12"), number("13"))
	if err != nil || len(out.Responses["numbers"]) != 1 {
		t.Errorf("%v, %v", out, err)
	}
	_, err = get(t, c, "numbers", number("5"), number("0.5e1"))
	wantCode(t, err, "ValidationException")
}
