package engines

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// The sandbox's DynamoDB answers what the engines answer, in the cases that the system leans
// on.
func TestTheSandboxAnswersAsTheEnginesDo(t *testing.T) {
	t.Parallel()
	for _, e := range others {
		t.Run(e.name, func(t *testing.T) {
			conform(t, map[string]*dynamodb.Client{
				"sandbox": Client(harness.StartBackends(t, sandbox.Config{Threads: 1}, nil).At.DynamoDB),
				e.name:    Client(e.start(t)),
			})
		})
	}
}

// conform has all of them answer every case.
func conform(t *testing.T, tables map[string]*dynamodb.Client) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	key := func(user, sort string) Item { return Item{"user_id": text(user), "feature_key": text(sort)} }
	many := make([]Item, keysPerGet+1)
	for i := range many {
		many[i] = key(fmt.Sprint("u", i), "f")
	}
	full := key("u", "full")
	full["empty"], full["zeros"] = text(""), &types.AttributeValueMemberN{Value: "1.50"}
	for name, c := range tables {
		makeTable(t, c)
		if err := put(t.Context(), c, "features", []Item{full, key("u", "keys only")}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, tc := range []struct {
		name, table string
		keys        []Item
		want        string // the error's code, or the number of items
	}{
		{"items", "features", []Item{key("u", "full"), key("u", "keys only")}, "2 items"},
		{"a key without an item is left out", "features", []Item{key("u", "full"), key("u", "none")}, "1 items"},
		{"no item at all", "features", many[:keysPerGet], "0 items"},
		{"no such table", "absent", many[:1], "ResourceNotFoundException"},
		{"the same key twice", "features", []Item{many[0], many[1], many[0]}, "ValidationException"},
		{"too many keys", "features", many, "ValidationException"},
		{"a key that is empty", "features", []Item{key("", "f")}, "ValidationException"},
		{"half a key", "features", []Item{{"user_id": text("u")}}, "ValidationException"},
		{"a key of another type", "features", []Item{{"user_id": text("u"), "feature_key": &types.AttributeValueMemberN{Value: "1"}}}, "ValidationException"},
		{"more than the key", "features", []Item{full}, "ValidationException"},
		{"no key", "features", nil, "ValidationException"},
	} {
		for name, c := range tables {
			if got := answer(t, c, tc.table, tc.keys); got != tc.want {
				t.Errorf("%s: %s answers %s, want %s", tc.name, name, got, tc.want)
			}
		}
	}
}

// answer gives what a BatchGetItem is answered: the error's code, or how many items.
func answer(t *testing.T, c *dynamodb.Client, table string, keys []Item) string {
	t.Helper()
	if keys == nil {
		keys = []Item{}
	}
	out, err := c.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: keys}}})
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d items", len(out.Responses[table]))
}

// makeTable makes the table features with the keys user_id and feature_key.
func makeTable(t *testing.T, c *dynamodb.Client) {
	t.Helper()
	makeTableWith(t, c, types.BillingModePayPerRequest, nil)
}

func makeTableWith(t *testing.T, c *dynamodb.Client, billing types.BillingMode, units *types.ProvisionedThroughput) {
	t.Helper()
	name, partition, sort := "features", "user_id", "feature_key"
	_, err := c.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: billing, ProvisionedThroughput: units,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &partition, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &sort, AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: &partition, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange}},
	})
	if err != nil {
		t.Fatal(err)
	}
	harness.Await(t, "the table can be used", func() bool {
		d, err := c.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
		return err == nil && d.Table.TableStatus == types.TableStatusActive
	})
}
