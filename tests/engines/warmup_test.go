package engines

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// A table of an engine that is not ours is raised for a run, is raised while it reads, and
// has what it had when it has ended: capacity and tags.
func TestTheWarmUpRaisesTablesOfTheEngines(t *testing.T) {
	t.Parallel()
	for _, e := range others {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			j := harness.NewJob(t, 400)
			j.Families = harness.FamilyList[:6]
			j.More = "warm_up:\n  target_duration: 1s\n  dynamodb: {max_read_units: 500}\n"
			harness.NewBackends(t, j)
			url := e.start(t)
			j.Env["AWS_ENDPOINT_URL_DYNAMODB"] = url
			c := Client(url)
			makeProvisionedTable(t, c)
			before := capacity(t, c)
			p := j.Start(t, "--progress", "plain")
			most := before.units
			harness.Await(t, "the run has ended", func() bool {
				most = max(most, capacity(t, c).units)
				select {
				case <-p.Ended():
					return true
				default:
					return false
				}
			})
			p.Wait(t).Expect(t, 0)
			j.Verify(t, 0)
			if most != 500 {
				t.Errorf("the table had at most %d read units, want 500", most)
			}
			if after := capacity(t, c); after.String() != before.String() {
				t.Errorf("before the run the table had %s\nafter it %s", before, after)
			}
		})
	}
}

type held struct {
	units int64
	tags  []string
}

func (h held) String() string { return fmt.Sprintf("%d read units and tags %q", h.units, h.tags) }

// capacity asks what the table has.
func capacity(t *testing.T, c *dynamodb.Client) held {
	t.Helper()
	name := "features"
	d, err := c.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	h := held{units: *d.Table.ProvisionedThroughput.ReadCapacityUnits}
	tags, err := c.ListTagsOfResource(t.Context(), &dynamodb.ListTagsOfResourceInput{ResourceArn: d.Table.TableArn})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags.Tags {
		h.tags = append(h.tags, *tag.Key+"="+*tag.Value)
	}
	return h
}

// makeProvisionedTable makes the table features with five units of each kind.
func makeProvisionedTable(t *testing.T, c *dynamodb.Client) {
	t.Helper()
	units := int64(5)
	makeTableWith(t, c, types.BillingModeProvisioned, &types.ProvisionedThroughput{ReadCapacityUnits: &units, WriteCapacityUnits: &units})
}
