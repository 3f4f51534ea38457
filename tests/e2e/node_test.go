package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// natsForNode are the packages of the official NATS client for Node.js.
var natsForNode = []string{"@nats-io/transport-node@3.3.1", "@nats-io/jetstream@3.3.1"}

// The example of a producer in another language does what it says.
func TestAProducerInNode(t *testing.T) {
	t.Parallel()
	modules := harness.NPM(t, "NO PRODUCER IN ANOTHER LANGUAGE IS TESTED", natsForNode...)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(root, "examples", "publish.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(modules, "publish.mjs") // it finds its packages beside it
	if err := os.WriteFile(script, source, 0o644); err != nil {
		t.Fatal(err)
	}
	j := harness.NewJob(t, 1300) // three batches: of either form, and one that is not full
	j.Run, j.Sandbox.FeaturesPerFamily = "from-node", 2
	j.Families = []string{"{id: credit}", "{id: bureau, lane: slow}", "{id: session, cached: false}"}
	for i := range j.Records {
		j.Records[i].Country = []string{"", "Côte d'Ivoire", "KE"}[i%3]
	}
	s := up(t, j, "--sandbox")
	j.Backend = s.backend()
	harness.Node(t, script, s.url, j.RunFile(t), j.JSONL(t)).Expect(t, 0)
	s.fff("runs", "wait", j.Run).Expect(t, 0)
	if st := s.status(j.Run); st.State != control.Completed || int(st.RecordsSeen) != len(j.Records) {
		t.Errorf("the run is %s after %d records, want %d", st.State, st.RecordsSeen, len(j.Records))
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}
