package dynamodb_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
)

func describe(t *testing.T, c *sdk.Client) *types.TableDescription {
	t.Helper()
	out, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("features")})
	if err != nil {
		t.Fatal(err)
	}
	return out.Table
}

func setReadUnits(t *testing.T, c *sdk.Client, units int64) error {
	t.Helper()
	_, err := c.UpdateTable(t.Context(), &sdk.UpdateTableInput{
		TableName:             aws.String("features"),
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: aws.Int64(1000)},
	})
	return err
}

func TestTableIsCreatedAfterAWhile(t *testing.T) {
	now := newClock()
	_, c := start(t, dynamodb.Config{Now: now.Now, UpdateTime: time.Minute})
	createTable(t, c, "features", 5)
	if got := describe(t, c).TableStatus; got != types.TableStatusCreating {
		t.Errorf("a new table is %s", got)
	}
	_, err := get(t, c, "features", key("u", "f"))
	wantCode(t, err, "ResourceNotFoundException")
	now.forward(time.Minute)
	if _, err := get(t, c, "features", key("u", "f")); err != nil {
		t.Error(err)
	}
	d := describe(t, c)
	if d.TableStatus != types.TableStatusActive || *d.ProvisionedThroughput.ReadCapacityUnits != 5 ||
		*d.TableArn == "" || *d.KeySchema[0].AttributeName != "user_id" || *d.KeySchema[1].AttributeName != "feature_key" {
		t.Errorf("described as %+v", d)
	}
}

func TestCapacityChangesAfterAWhile(t *testing.T) {
	now := newClock()
	_, c := start(t, dynamodb.Config{Now: now.Now, UpdateTime: time.Minute})
	createTable(t, c, "features", 5)
	now.forward(time.Minute)
	wantCode(t, setReadUnits(t, c, 5), "ValidationException")
	if err := setReadUnits(t, c, 500); err != nil {
		t.Fatal(err)
	}
	if d := describe(t, c); d.TableStatus != types.TableStatusUpdating || *d.ProvisionedThroughput.ReadCapacityUnits != 5 {
		t.Errorf("while it is updated: %+v", d)
	}
	wantCode(t, setReadUnits(t, c, 600), "ResourceInUseException")
	now.forward(time.Minute)
	d := describe(t, c)
	if d.TableStatus != types.TableStatusActive || *d.ProvisionedThroughput.ReadCapacityUnits != 500 || d.ProvisionedThroughput.LastIncreaseDateTime == nil {
		t.Errorf("when it was updated: %+v", d)
	}
}

// Capacity may go down four times at once, then once an hour, until the UTC day ends.
func TestDecreasesAreLimited(t *testing.T) {
	now := newClock() // 10:00
	_, c := start(t, dynamodb.Config{Now: now.Now})
	createTable(t, c, "features", 100)
	today := func() int64 { return *describe(t, c).ProvisionedThroughput.NumberOfDecreasesToday }
	for n := range int64(4) {
		if err := setReadUnits(t, c, 99-n); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, setReadUnits(t, c, 50), "LimitExceededException")
	if err := setReadUnits(t, c, 200); err != nil {
		t.Errorf("an increase is refused: %v", err)
	}
	now.forward(time.Hour)
	if err := setReadUnits(t, c, 50); err != nil || today() != 5 {
		t.Errorf("after an hour: %d decreases, %v", today(), err)
	}
	wantCode(t, setReadUnits(t, c, 40), "LimitExceededException")
	now.forward(14 * time.Hour)
	if today() != 0 {
		t.Errorf("%d decreases on a new day", today())
	}
	if err := setReadUnits(t, c, 40); err != nil || today() != 1 {
		t.Errorf("on a new day: %d decreases, %v", today(), err)
	}
}

func TestBillingModeAndWarmThroughput(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	d := describe(t, c)
	if d.BillingModeSummary.BillingMode != types.BillingModePayPerRequest || *d.WarmThroughput.ReadUnitsPerSecond != 12000 {
		t.Errorf("on demand: %+v", d)
	}
	warm := func(reads int64) error {
		_, err := c.UpdateTable(t.Context(), &sdk.UpdateTableInput{TableName: aws.String("features"),
			WarmThroughput: &types.WarmThroughput{ReadUnitsPerSecond: &reads, WriteUnitsPerSecond: aws.Int64(4000)}})
		return err
	}
	if err := warm(20000); err != nil {
		t.Fatal(err)
	}
	wantCode(t, warm(12000), "ValidationException")
	_, err := c.UpdateTable(t.Context(), &sdk.UpdateTableInput{TableName: aws.String("features"), BillingMode: types.BillingModeProvisioned})
	wantCode(t, err, "ValidationException")
	_, err = c.UpdateTable(t.Context(), &sdk.UpdateTableInput{TableName: aws.String("features")})
	wantCode(t, err, "ValidationException")
}

func TestTags(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	createTable(t, c, "features", 0)
	arn := describe(t, c).TableArn
	list := func() []string {
		out, err := c.ListTagsOfResource(t.Context(), &sdk.ListTagsOfResourceInput{ResourceArn: arn})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tag := range out.Tags {
			got = append(got, *tag.Key+"="+*tag.Value)
		}
		return got
	}
	tag := func(k, v string) error {
		_, err := c.TagResource(t.Context(), &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: &k, Value: &v}}})
		return err
	}
	if err := tag("fff-undo", "100"); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []string{"fff-undo=100", "team=ml"}) {
		t.Errorf("tags %v", got)
	}
	if _, err := c.UntagResource(t.Context(), &sdk.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team", "unknown"}}); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []string{"fff-undo=100"}) {
		t.Errorf("tags %v", got)
	}
	wantCode(t, tag("aws:own", "x"), "ValidationException")
	arn = aws.String("arn:aws:dynamodb:eu-west-1:1:table/nothing")
	wantCode(t, tag("a", "b"), "ResourceNotFoundException")
}

func TestListAndDelete(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	for n := range 5 {
		createTable(t, c, fmt.Sprint("table", n), 0)
	}
	out, err := c.ListTables(t.Context(), &sdk.ListTablesInput{Limit: aws.Int32(3)})
	if err != nil || !slices.Equal(out.TableNames, []string{"table0", "table1", "table2"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	out, err = c.ListTables(t.Context(), &sdk.ListTablesInput{ExclusiveStartTableName: out.LastEvaluatedTableName})
	if err != nil || !slices.Equal(out.TableNames, []string{"table3", "table4"}) || out.LastEvaluatedTableName != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := c.DeleteTable(t.Context(), &sdk.DeleteTableInput{TableName: aws.String("table3")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("table3")})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestTablesThatAreRefused(t *testing.T) {
	_, c := start(t, dynamodb.Config{})
	good := func() *sdk.CreateTableInput {
		return &sdk.CreateTableInput{
			TableName:            aws.String("good"),
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
			BillingMode:          types.BillingModePayPerRequest,
		}
	}
	for name, break_ := range map[string]func(*sdk.CreateTableInput){
		"short name":      func(in *sdk.CreateTableInput) { in.TableName = aws.String("t") },
		"range key first": func(in *sdk.CreateTableInput) { in.KeySchema[0].KeyType = types.KeyTypeRange },
		"undefined key":   func(in *sdk.CreateTableInput) { in.AttributeDefinitions[0].AttributeName = aws.String("other") },
		"no capacity":     func(in *sdk.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned },
		"capacity too many": func(in *sdk.CreateTableInput) {
			in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(1), WriteCapacityUnits: aws.Int64(1)}
		},
		"an index": func(in *sdk.CreateTableInput) {
			in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{IndexName: aws.String("index"), KeySchema: in.KeySchema, Projection: &types.Projection{}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			break_(in)
			_, err := c.CreateTable(t.Context(), in)
			wantCode(t, err, "ValidationException")
		})
	}
	if _, err := c.CreateTable(t.Context(), good()); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateTable(t.Context(), good())
	wantCode(t, err, "ResourceInUseException")
}
