// Package engines runs the system on DynamoDB engines that are not ours, and compares what
// comes out with what comes out of the sandbox.
package engines

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/awshttp"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Bounds of DynamoDB, and how many calls are made at a time.
const (
	keysPerGet     = 100
	writesPerBatch = 25
	copies         = 8
)

// Item is an item or a key.
type Item = map[string]types.AttributeValue

// Copy makes the tables of a run in one engine as they are in another, and copies what is
// there under the keys of the records' cells. It gives the number of items. The run file is
// expanded.
func Copy(ctx context.Context, from, to *dynamodb.Client, file *runfile.File, records iter.Seq2[record.Record, error]) (int, error) {
	keys, err := keysOf(file, records)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, table := range slices.Sorted(maps.Keys(keys)) {
		if err := copyTable(ctx, from, to, table); err != nil {
			return total, fmt.Errorf("table %s: %w", table, err)
		}
		n, err := copyItems(ctx, from, to, table, keys[table])
		if total += n; err != nil {
			return total, fmt.Errorf("items of table %s: %w", table, err)
		}
	}
	return total, nil
}

// Records reads a records file.
func Records(file *runfile.File, path string) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		r, err := recordsfile.Open(path, recordsfile.Options{Columns: file.Records, Families: file.FamilyIDs()})
		if err != nil {
			yield(record.Record{}, err)
			return
		}
		defer r.Close()
		for row, err := range r.All() {
			if !yield(row.Record, err) {
				return
			}
		}
	}
}

// keysOf gives the keys of all cached cells by table, each once.
func keysOf(file *runfile.File, records iter.Seq2[record.Record, error]) (map[string][]Item, error) {
	keys, seen := map[string][]Item{}, map[string]bool{}
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		wanted := r.Families
		if wanted == nil {
			wanted = file.FamilyIDs()
		}
		for _, id := range wanted {
			family, ok := file.Family(id)
			if !ok || !family.Cached {
				continue
			}
			table := file.TableOf(family)
			key, name := keyOf(file.DynamoDB, &r, id)
			if name = table + "\x00" + name; !seen[name] {
				seen[name] = true
				keys[table] = append(keys[table], key)
			}
		}
	}
	return keys, nil
}

func keyOf(db *runfile.DynamoDB, r *record.Record, family string) (key Item, name string) {
	parts := []*runfile.KeyAttribute{&db.PartitionKey}
	if db.SortKey != nil {
		parts = append(parts, db.SortKey)
	}
	key = Item{}
	for _, p := range parts {
		value := string(p.Value.Append(nil, r.UserID, family, r.EpochMS))
		name += value + "\x00"
		if p.Type == "N" {
			key[p.Name] = &types.AttributeValueMemberN{Value: value}
		} else {
			key[p.Name] = &types.AttributeValueMemberS{Value: value}
		}
	}
	return key, name
}

// creation bounds how long an engine may take to make a table.
const creation = time.Minute

// copyTable makes an empty table with the same keys, on demand.
func copyTable(ctx context.Context, from, to *dynamodb.Client, table string) error {
	described, err := from.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return err
	}
	_, err = to.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: described.Table.AttributeDefinitions, KeySchema: described.Table.KeySchema,
	})
	if err != nil {
		return err
	}
	return dynamodb.NewTableExistsWaiter(to, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, creation)
}

func copyItems(ctx context.Context, from, to *dynamodb.Client, table string, keys []Item) (int, error) {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(copies)
	counts := make(chan int, len(keys)/keysPerGet+1)
	for some := range slices.Chunk(keys, keysPerGet) {
		work.Go(func() error {
			items, err := get(ctx, from, table, some)
			if err == nil {
				err = put(ctx, to, table, items)
			}
			counts <- len(items)
			return err
		})
	}
	err := work.Wait()
	close(counts)
	total := 0
	for n := range counts {
		total += n
	}
	return total, err
}

// get reads items until no key is left unprocessed.
func get(ctx context.Context, c *dynamodb.Client, table string, keys []Item) (items []Item, err error) {
	left := map[string]types.KeysAndAttributes{table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for len(left) > 0 {
		out, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left})
		if err != nil {
			return items, err
		}
		items, left = append(items, out.Responses[table]...), out.UnprocessedKeys
	}
	return items, nil
}

// put writes items until none is left unprocessed.
func put(ctx context.Context, c *dynamodb.Client, table string, items []Item) error {
	for some := range slices.Chunk(items, writesPerBatch) {
		writes := make([]types.WriteRequest, len(some))
		for i, item := range some {
			writes[i].PutRequest = &types.PutRequest{Item: item}
		}
		for left := map[string][]types.WriteRequest{table: writes}; len(left) > 0; {
			out, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: left})
			if err != nil {
				return err
			}
			left = out.UnprocessedItems
		}
	}
	return nil
}

// Client gives a client of an engine at a URL, which takes any credentials.
func Client(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &url, Region: "eu-west-1", HTTPClient: awshttp.New(copies),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}
