// Package control is the language between the orchestrator and those who steer runs:
// the subjects, requests and replies that open, watch, cancel and replay a run, and the
// client side of it.
//
// Requests and replies are JSON on core NATS, so `nats req fff.status.demo ""` works as
// well as this package. Every reply is either what its method documents or
// {"error":{"code","message","field"}}.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Subjects of the requests. All but SubjectList are followed by a dot and the run's id.
const (
	SubjectOpen     = "fff.open"     // body: run file as YAML or JSON; reply: Opened
	SubjectClose    = "fff.close"    // body: CloseRequest; reply: Closed
	SubjectStatus   = "fff.status"   // reply: Status
	SubjectList     = "fff.list"     // reply: array of Status
	SubjectCancel   = "fff.cancel"   // reply: {}
	SubjectTeardown = "fff.teardown" // reply: {}
	SubjectReplay   = "fff.replay"   // body: Selection; reply: Replayed
	SubjectDrop     = "fff.drop"     // body: Selection; reply: Dropped
)

// HeaderTakeOver on an open request, with the value "true", takes a dataset over from
// another system that is believed to be alive.
const HeaderTakeOver = "Fff-Take-Over"

// States of a run.
const (
	Created               = "created"
	WarmingUp             = "warming_up"
	Running               = "running"
	Draining              = "draining"
	Finalising            = "finalising"
	Completed             = "completed"
	CompletedWithFailures = "completed_with_failures"
	Failed                = "failed"
	Cancelled             = "cancelled"

	// Stray is no state of a run: batches are there for a run that nobody opened.
	Stray = "stray"
)

// States of a run's teardown; "" before it is due.
const (
	TeardownPending = "pending"
	TeardownDone    = "done"
)

// Status is what the orchestrator's leader knows of a run.
type Status struct {
	Run      string `json:"run"`
	Epoch    uint64 `json:"epoch"`
	State    string `json:"state"`
	Teardown string `json:"teardown,omitempty"`
	Reason   string `json:"reason,omitempty"` // why it failed or stopped: cause and cure
	Round    int    `json:"round"`            // round of repair; 0 is the first pass

	InputSealed bool   `json:"input_sealed"`
	InputHash   string `json:"input_hash,omitempty"`
	RecordsSeen int64  `json:"records_seen"` // in distinct batches, bad ones included
	Records     int64  `json:"records"`      // good ones
	BadRecords  int64  `json:"bad_records"`
	Samples     int64  `json:"samples"` // distinct

	Requested    int64            `json:"requested_cells"` // as far as it is known
	Committed    int64            `json:"committed_cells"`
	Failed       int64            `json:"failed_cells"`
	BySource     map[string]int64 `json:"committed_by_source,omitempty"` // dynamodb, feature_service
	FailedByCode map[string]int64 `json:"failed_by_code,omitempty"`

	Warnings  []string           `json:"warnings,omitempty"` // of the failure policy: cause and cure
	Stages    []StageStatus      `json:"stages,omitempty"`   // in the order of the flow
	Files     int                `json:"files"`
	Bytes     int64              `json:"bytes"`
	ReadUnits map[string]float64 `json:"read_units,omitempty"` // used, by table

	Lanes map[string]string `json:"lanes,omitempty"` // fast or slow, as it was found, by family whose lane is auto

	Waiting string     `json:"waiting,omitempty"` // for what the run as a whole waits: its warm-up, what comes down, or the merge of its files
	WarmUp  []ScaledUp `json:"warm_up,omitempty"` // what is scaled up, or was and is watched

	Dataset   string    `json:"dataset,omitempty"` // directory or URL
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
}

// ScaledUp is something that a run's warm-up has raised.
type ScaledUp struct {
	Resource string    `json:"resource"`           // kind and name
	Stage    string    `json:"stage"`              // intent, applied, undone (and watched)
	Before   string    `json:"before,omitempty"`   // what it had, and has again in the end
	Raised   string    `json:"raised,omitempty"`   // to what
	Deadline time.Time `json:"deadline"`           // when it comes down even if the run goes on
	Problem  string    `json:"problem,omitempty"`  // why it could not be brought down yet
	Foreign  []string  `json:"foreign,omitempty"`  // settings that somebody else has changed; they were left
	Shared   bool      `json:"shared,omitempty"`   // others hold it; the last one out brings it down
	NextTry  time.Time `json:"next_try,omitzero"`  // to bring it down
	Attempts int       `json:"attempts,omitempty"` // to bring it down that have failed
}

// Up tells whether it is still to be brought down.
func (s *ScaledUp) Up() bool { return s.Stage != "undone" }

// StageStatus is what is known of a stage of a run. Counts are of this epoch.
type StageStatus struct {
	Name        string `json:"name"` // ingest, dynamo, fs-fast, fs-slow, writer
	Lag         int64  `json:"lag"`  // messages, pending and in hand
	CellsIn     int64  `json:"cells_in"`
	CellsOut    int64  `json:"cells_out"`
	CellsFailed int64  `json:"cells_failed"`
	Instances   int    `json:"instances"`
	Waiting     string `json:"waiting,omitempty"` // for what, e.g. "throttled by DynamoDB"
}

// Ended tells whether the run has reached a final state. Its teardown may still be due.
func (s *Status) Ended() bool {
	switch s.State {
	case Completed, CompletedWithFailures, Failed, Cancelled:
		return true
	}
	return false
}

// TornDown tells whether nothing of an ended run is left to be taken down.
func (s *Status) TornDown() bool { return s.Ended() && s.Teardown != TeardownPending }

// Opened is the reply to an open request.
type Opened struct {
	Run   string `json:"run"`
	Epoch uint64 `json:"epoch"`
}

// CloseRequest seals the input of a run.
type CloseRequest struct {
	Records   int64  `json:"records"`              // counted over distinct batches, bad ones included
	InputHash string `json:"input_hash,omitempty"` // of the records file, to be known again in Status
}

// Closed is the reply to a close request. A run whose count differs stays open.
type Closed struct {
	Sealed      bool  `json:"sealed"`
	RecordsSeen int64 `json:"records_seen"`
}

// Selection chooses dead letters of a run: those with the sequences given, or all that
// match every filter that is set. All must be true where neither is given.
type Selection struct {
	Sequences []uint64 `json:"sequences,omitempty"`
	All       bool     `json:"all,omitempty"`
	Stage     string   `json:"stage,omitempty"`
	Code      string   `json:"code,omitempty"`
	Kind      string   `json:"kind,omitempty"` // cell, record or batch
}

// Check refuses a selection that chooses nothing or says two things at once.
func (s *Selection) Check() error {
	filtered := s.All || s.Stage != "" || s.Code != "" || s.Kind != ""
	switch {
	case len(s.Sequences) == 0 && !filtered:
		return errors.New("nothing is selected: give sequences, a filter, or all")
	case len(s.Sequences) > 0 && filtered:
		return errors.New("give either sequences or filters, not both")
	}
	return nil
}

// Matches tells whether a dead letter is selected.
func (s *Selection) Matches(l *Letter) bool {
	if len(s.Sequences) > 0 {
		for _, seq := range s.Sequences {
			if seq == l.Sequence {
				return true
			}
		}
		return false
	}
	return (s.Stage == "" || s.Stage == l.Stage) && (s.Code == "" || s.Code == l.Code) && (s.Kind == "" || s.Kind == l.Kind)
}

// Replayed is the reply to a replay request.
type Replayed struct {
	Replayed int64  `json:"replayed"` // letters
	Epoch    uint64 `json:"epoch"`    // that they run in
}

// Dropped is the reply to a drop request.
type Dropped struct {
	Dropped int64 `json:"dropped"` // letters, or stray batches
}

// Codes of errors in replies.
const (
	CodeBadRequest    = "bad_request"     // the request cannot be read
	CodeBadRunFile    = "bad_run_file"    // the run file is refused; Field names the place
	CodeResumeRefused = "resume_refused"  // the run file changes what must stay as it was
	CodeUnknownRun    = "unknown_run"     // no such run
	CodeWrongState    = "wrong_state"     // not in the state that the run is in
	CodeTryAgain      = "try_again"       // not at this moment; the client asks again by itself
	CodeOwned         = "dataset_owned"   // another system owns the dataset
	CodeOverCapacity  = "over_capacity"   // no room for another run
	CodeNoLeader      = "no_orchestrator" // given by the client: nobody answered
	CodeInternal      = "internal"        // everything else
)

// Error is a request that was refused.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// Error gives the message.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Errorf makes an error with a code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// EncodeReply gives the wire form of a reply: v, or the error if there is one. An error
// that is no *Error is sent as an internal one.
func EncodeReply(v any, err error) []byte {
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Code: CodeInternal, Message: err.Error()}
		}
		v = struct {
			Error *Error `json:"error"`
		}{e}
	}
	data, merr := json.Marshal(v)
	if merr != nil { // a float that is not finite; nothing else in the replies can fail
		return EncodeReply(nil, Errorf(CodeInternal, "reply cannot be encoded: %v", merr))
	}
	return data
}

// DecodeReply reads a reply into v, or gives the *Error that it holds.
func DecodeReply(data []byte, v any) error {
	if len(data) > 0 && data[0] == '{' {
		var e struct {
			Error *Error `json:"error"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("reply of the orchestrator: %w", err)
		}
		if e.Error != nil {
			return e.Error
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reply of the orchestrator: %w", err)
	}
	return nil
}
