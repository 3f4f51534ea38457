package orchestrator

import (
	"errors"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// What a replay keeps of its records fits the run's record. More is refused before anything
// is opened, with what to do.
func TestReplayOfTooManyRecords(t *testing.T) {
	t.Parallel()
	letters := make([]*control.Letter, 1000)
	for i := range letters {
		letters[i] = &control.Letter{Kind: stage.KindRecord, Stage: string(stage.Ingest), Reason: strings.Repeat("x", 200)}
	}
	if names, err := replayedRecords(letters); err != nil || len(names) != len(letters) {
		t.Errorf("%d names, %v; want %d", len(names), err, len(letters))
	}
	for _, l := range letters {
		l.Reason = strings.Repeat("x", 1000)
	}
	var e *control.Error
	if _, err := replayedRecords(letters); !errors.As(err, &e) || e.Code != control.CodeBadRequest || !strings.Contains(e.Message, "at most 25") {
		t.Errorf("a megabyte of names: %v", err)
	}
	cells := []*control.Letter{{Kind: stage.KindCell, Reason: strings.Repeat("x", 1<<20)}}
	if names, err := replayedRecords(cells); err != nil || len(names) != 0 {
		t.Errorf("cells: %d names, %v; want none", len(names), err)
	}
}
