//go:generate go test . -run "Topology|Documents" -update

// Package streams holds every subject, stream and consumer of the system as data.
//
// The files under data/ are server-API JSON: they serve `nats stream add --config` and
// `nats consumer add --config` as well as this package. Consumers are templates: {run}
// stands for the id of the run.
package streams

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

//go:embed data
var data embed.FS

// Names of the streams and buckets.
const (
	Ingest  = "FFF_INGEST"
	Dynamo  = "FFF_DYNAMO"
	FSFast  = "FFF_FS_FAST"
	FSSlow  = "FFF_FS_SLOW"
	Writer  = "FFF_WRITER"
	Parts   = "FFF_PARTS"
	Commits = "FFF_COMMITS"
	Failed  = "FFF_FAILED"

	RunsBucket   = "FFF_RUNS"
	WarmUpBucket = "FFF_WARMUP"
	LeasesBucket = "FFF_LEASES"
)

// Headers of the system's own messages and dead letters.
const (
	HeaderEpoch    = "Fff-Epoch"    // epoch in which the message was made
	HeaderCode     = "Fff-Code"     // failure code
	HeaderReason   = "Fff-Reason"   // reason in words
	HeaderKind     = "Fff-Kind"     // cell, record or batch
	HeaderStage    = "Fff-Stage"    // stage that gave up
	HeaderSubject  = "Fff-Subject"  // subject that the message came from
	HeaderSequence = "Fff-Sequence" // its sequence in its stream
	HeaderAttempts = "Fff-Attempts" // attempts made
	HeaderCount    = "Fff-Count"    // cells or records in the letter
	HeaderService  = "Fff-Service"  // service and instance
	HeaderAt       = "Fff-At"       // RFC 3339 time of the failure
	HeaderPlace    = "Fff-Place"    // place in the batch, e.g. "record 3"
)

// Subject gives the subject of a stage's queue for a run: fff.<stage>.<run>.
func Subject(s stage.Name, run string) string { return "fff." + string(s) + "." + run }

// CommitsSubject gives the subject of a run's commit log.
func CommitsSubject(run string) string { return "fff.commits." + run }

// FailedSubject gives the subject of a run's dead letters of a stage; "*" for all stages.
func FailedSubject(run, stage string) string { return "fff.failed." + run + "." + stage }

// Of gives the stream that holds a stage's queue.
func Of(s stage.Name) string {
	switch s {
	case stage.Ingest:
		return Ingest
	case stage.Dynamo:
		return Dynamo
	case stage.FSFast:
		return FSFast
	case stage.FSSlow:
		return FSSlow
	case stage.Writer:
		return Writer
	case stage.Parts:
		return Parts
	}
	return ""
}

// Stages lists the stages that have a queue, upstream first.
func Stages() []stage.Name {
	return []stage.Name{stage.Ingest, stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer, stage.Parts}
}

// Configs gives the configuration of every stream, in the order of their names.
func Configs() []jetstream.StreamConfig {
	var all []jetstream.StreamConfig
	for _, f := range files("data/streams") {
		var c jetstream.StreamConfig
		mustDecode(f, &c)
		all = append(all, c)
	}
	return all
}

// ConsumerName gives the name of the durable consumer of a stage for a run.
func ConsumerName(s stage.Name, run string) string { return string(s) + "-" + run }

// Consumer gives the configuration of the durable consumer of a stage for a run.
func Consumer(s stage.Name, run string) jetstream.ConsumerConfig {
	file := "data/consumers/" + string(s) + ".json"
	raw, err := data.ReadFile(file)
	if err != nil {
		panic(fmt.Sprintf("streams: stage %q has no consumer: %v", s, err))
	}
	var c struct {
		Stream string                   `json:"stream_name"`
		Config jetstream.ConsumerConfig `json:"config"`
	}
	decode(file, bytes.ReplaceAll(raw, []byte("{run}"), []byte(run)), &c)
	return c.Config
}

// Export gives every file of the topology by its name, as it is.
func Export() map[string][]byte {
	all := map[string][]byte{}
	for _, dir := range []string{"data/streams", "data/consumers"} {
		for _, f := range files(dir) {
			raw, _ := data.ReadFile(f)
			all[strings.TrimPrefix(f, "data/")] = raw
		}
	}
	return all
}

func files(dir string) []string {
	entries, err := fs.ReadDir(data, dir)
	if err != nil {
		panic(fmt.Sprintf("streams: embedded data: %v", err))
	}
	var names []string
	for _, e := range entries {
		names = append(names, path.Join(dir, e.Name()))
	}
	slices.Sort(names)
	return names
}

func mustDecode(file string, into any) {
	raw, err := data.ReadFile(file)
	if err != nil {
		panic(fmt.Sprintf("streams: embedded data: %v", err))
	}
	decode(file, raw, into)
}

// decode refuses unknown fields, so that a misspelt setting cannot pass for a default.
// The data is embedded: an error is a defect that the golden test finds.
func decode(file string, raw []byte, into any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		panic(fmt.Sprintf("streams: %s: %v", file, err))
	}
}
