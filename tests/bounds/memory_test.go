// Package bounds tests that what the documents say of memory holds in the programs that people
// run.
package bounds

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// bound gives what a service's settings say of its memory.
func bound[C interface{ MemoryBound() service.Memory }](t *testing.T, change func(*C)) service.Memory {
	t.Helper()
	var c C
	if err := settings.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	return c.MemoryBound()
}

// The writer is given little, so that it is full soon.
const (
	writerBuffer = 64 << 20
	writerPart   = 16 << 20
	writerQuota  = 150 // messages of the run in the writer's queue
)

// largeCells is a feature service whose cells are hardly smaller than the largest allowed.
func largeCells(t *testing.T) *httptest.Server {
	text := strings.Repeat("largest ", (work.MaxCellBytes-200)/8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Families []string `json:"feature_families"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"features":{`)
		for i, f := range q.Families {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `%q:{"text":%q}`, f, text)
		}
		fmt.Fprint(w, `}}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// largestJob gives a job of the largest records: user ids, attributes and cells that are
// as large as they may be, and items of thousands of features.
func largestJob(t *testing.T, samples int) *harness.Job {
	j := harness.NewJob(t, samples)
	j.Families = []string{"{id: c1}", "{id: c2}", "{id: c3}", "{id: c4, lane: slow}"}
	for i := range 8 {
		j.Families = append(j.Families, fmt.Sprintf("{id: f%d, cached: false}", i))
	}
	j.Families = append(j.Families, "{id: s1, lane: slow, cached: false}", "{id: s2, lane: slow, cached: false}")
	j.Sandbox.FeaturesPerFamily, j.Sandbox.HitRatio = 2000, 0.8
	country := strings.Repeat("K", work.MaxAttributesBytes-64)
	for i := range j.Records {
		id := fmt.Sprintf("%04d-", i)
		j.Records[i].UserID = id + strings.Repeat("u", work.MaxUserIDBytes-len(id))
		j.Records[i].Country = country
	}
	j.Env = harness.Env{
		"FFF_WRITER_BUFFER_BYTES": fmt.Sprint(writerBuffer),
		"FFF_WRITER_PART_BYTES":   fmt.Sprint(writerPart),
		"FFF_INGEST_WRITER_QUOTA": fmt.Sprint(writerQuota),
		"FFF_INGEST_QUOTA":        "20",
	}
	return j
}

// TestMemory fills every queue with the largest records, attributes and cells there are
// while the writer stands still, lets it go on, and looks at what each process has had of
// memory. The processes run as they are deployed, without GOMEMLIMIT.
//
// FFF_BOUNDS=1 does it with three times as many samples.
func TestMemory(t *testing.T) {
	samples := 40
	if os.Getenv("FFF_BOUNDS") != "" {
		samples *= 3
	}
	t.Setenv("GOMEMLIMIT", "") // whoever runs the tests may have one
	j := largestJob(t, samples)
	f := harness.NewFleet(t, j)
	j.Backend = largeCells(t).URL
	f.StartBroker()
	f.AddEach(1)
	f.AwaitReady()
	f.Of("writer")[0].Pause()
	p := f.Submit(j)
	harness.Await(t, "the writer's queue is full", func() bool { return f.Queue(j, stage.Writer) >= writerQuota })
	f.Of("writer")[0].Resume()
	p.Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	for _, how := range f.Crashes() {
		t.Error(how)
	}
	for name, m := range map[string]service.Memory{
		"orchestrator":   bound[orchestrator.Config](t, nil),
		"ingest":         bound[ingest.Config](t, nil),
		"dynamo-fetcher": bound[dynamofetcher.Config](t, nil),
		"fs-fast":        bound[fsfast.Config](t, nil),
		"fs-slow":        bound[fsslow.Config](t, nil),
		"writer":         bound(t, func(c *writer.Config) { c.BufferBytes, c.PartBytes = writerBuffer, writerPart }),
	} {
		most := m.Bytes + m.PerSample*int64(samples)
		peak := f.Of(name)[0].PeakMemory(t)
		t.Logf("%-14s %4d MiB at the most, of %4d", name, peak>>20, most>>20)
		if peak > most {
			t.Errorf("%s has had %d bytes of memory; its bound is %d", name, peak, most)
		}
	}
}
