package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

// MaxFailureBytes bounds a line of _failures.jsonl. AppendFailure keeps to it.
const MaxFailureBytes = 64 << 10

// What AppendFailure keeps of texts that others gave. A byte takes at most six in JSON.
const (
	maxReasonBytes = 4 << 10
	maxFieldBytes  = 1 << 10 // as long as a user id can be
)

// Failure is a line of _failures.jsonl: a cell, a record or a batch that is not in the
// dataset, and why.
type Failure struct {
	Kind          string `json:"kind"` // "cell", "record" or "batch"
	UserID        string `json:"user_id"`
	PITCTimestamp string `json:"pitc_timestamp"` // as sample.FormatTime writes it; of a bad record as it was given
	Family        string `json:"family"`
	Stage         string `json:"stage"`
	Code          string `json:"code"` // see package failure
	Reason        string `json:"reason"`
	Attempts      int    `json:"attempts"`
	At            string `json:"at"` // RFC 3339
}

// AppendFailure appends the failure as a line.
func AppendFailure(dst []byte, f *Failure) []byte {
	short := *f
	short.Reason = clip(f.Reason, maxReasonBytes)
	for _, field := range []*string{&short.UserID, &short.PITCTimestamp, &short.Family} {
		*field = clip(*field, maxFieldBytes)
	}
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&short); err != nil { // strings and numbers cannot fail
		panic(err)
	}
	return b.Bytes()
}

func clip(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	return strings.ToValidUTF8(s[:bytes], "") + "…"
}

// ParseFailure reads a line of _failures.jsonl.
func ParseFailure(line []byte) (Failure, error) {
	var f Failure
	if err := json.Unmarshal(line, &f); err != nil {
		return Failure{}, err
	}
	switch {
	case f.Kind != stage.KindCell && f.Kind != stage.KindRecord && f.Kind != stage.KindBatch:
		return Failure{}, fmt.Errorf("kind %q is none of cell, record, batch", f.Kind)
	case f.Code == "":
		return Failure{}, errors.New("no code")
	case f.Kind == stage.KindCell && (f.UserID == "" || f.PITCTimestamp == "" || f.Family == ""):
		return Failure{}, errors.New("a failed cell has a user_id, a pitc_timestamp and a family")
	}
	return f, nil
}

// Failures reads _failures.jsonl line by line. It ends with the first error, which
// names the line.
func Failures(r io.Reader) iter.Seq2[Failure, error] {
	return func(yield func(Failure, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), MaxFailureBytes)
		n := 0
		for lines.Scan() {
			n++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			f, err := ParseFailure(lines.Bytes())
			if err != nil {
				yield(Failure{}, fmt.Errorf("%s:%d: %w", FailuresName, n, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Failure{}, fmt.Errorf("%s:%d: %w", FailuresName, n+1, err))
		}
	}
}
