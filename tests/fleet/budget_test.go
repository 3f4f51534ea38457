package fleet

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Two fetchers share a budget of read units. It is not passed, by what DynamoDB has counted,
// though one of them is killed with calls under way; and little of it is left.
func TestABudgetHoldsWhenAFetcherIsKilled(t *testing.T) {
	t.Parallel()
	const most = 3000.0
	j := longJob(t, 3000)
	j.Families = []string{"{id: credit}", "{id: income}", "{id: loans}"} // 4,500 units
	j.Sandbox.DynamoDBLatency = 200 * time.Millisecond
	j.Sandbox.Threads = 64
	j.Env["FFF_DYNAMO_MAX_IN_FLIGHT"] = "2"
	j.More = "budget: {max_read_units: 3000}"
	f, p, gate := start(t, j, 1)
	gate.Open()
	f.Add("dynamo-fetcher")
	f.AwaitReady()
	first := f.Of("dynamo-fetcher")[0]
	harness.Await(t, "it has read something", func() bool {
		beat, ok := f.Beat(first)
		return ok && beat.Runs[j.Run].Units["features"] > 0
	})
	first.Kill()
	ended := p.Wait(t).Expect(t, 1)
	if says := "stopped by budget.max_read_units: "; !strings.Contains(ended.Stdout, says) {
		t.Errorf("the run ended without saying %q:\n%s", says, ended)
	}
	if n := readUnits(t, f); n > most || n < 0.8*most {
		t.Errorf("%v read units were used of %v", n, most)
	}
	j.More = "budget: {max_read_units: 30000}"
	prove(t, f, f.Submit(j), j)
}

// readUnits asks the stand-in for DynamoDB how many read units it has counted.
func readUnits(t *testing.T, f *harness.Fleet) float64 {
	t.Helper()
	reply, err := http.Get(f.Account + "/_stats")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	var stats dynamodb.Stats
	if err := json.NewDecoder(reply.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	return stats.ReadUnits
}
