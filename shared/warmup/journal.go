package warmup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Stage is how far an entry of the journal has come.
type Stage string

// The stages of an entry.
const (
	Intent  Stage = "intent"  // it is about to be raised, and may be raised already
	Applied Stage = "applied" // it is raised, and was seen to be
	Undone  Stage = "undone"  // it is down, or somebody else has changed it; it is watched
)

// Entry is the journal's entry of one resource.
type Entry struct {
	Resource
	Stage    Stage     `json:"stage"`
	Pairs    Pairs     `json:"pairs,omitempty"` // empty until the state before is known
	RaisedAt time.Time `json:"raised_at"`
	Deadline time.Time `json:"deadline"` // when it comes down even if the run goes on
	UndoneAt time.Time `json:"undone_at,omitzero"`
	Foreign  []string  `json:"foreign,omitempty"` // settings that somebody else has changed; they were left
	Shared   bool      `json:"shared,omitempty"`  // others held it when the run left
	Attempts int       `json:"attempts,omitempty"`
	NextTry  time.Time `json:"next_try,omitzero"`
	Problem  string    `json:"problem,omitempty"` // why it could not be undone yet
}

// Journal is all that is left to undo of a run's warm-up.
type Journal struct {
	Version uint64  `json:"version"` // grows with every save
	Writer  string  `json:"writer"`  // the keeper that saved it
	Run     string  `json:"run"`
	Holder  string  `json:"holder"`  // name of the marks
	Entries []Entry `json:"entries"` // in the order in which they were raised
}

// find gives the entry of a resource, or nil.
func (j *Journal) find(r Resource) *Entry {
	for i := range j.Entries {
		if j.Entries[i].Resource == r {
			return &j.Entries[i]
		}
	}
	return nil
}

// EncodeJournal gives the journal as stores keep it.
func EncodeJournal(j *Journal) ([]byte, error) {
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("undo journal of run %s: %w", j.Run, err)
	}
	return append(data, '\n'), nil
}

// DecodeJournal reads what EncodeJournal gave.
func DecodeJournal(data []byte) (*Journal, error) {
	var j Journal
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	if j.Run == "" || j.Holder == "" {
		return nil, errors.New("undo journal: it names no run or no holder")
	}
	return &j, nil
}

// ErrOvertaken says that somebody else has saved the journal meanwhile: who gets it has
// lost the run's lease and changes nothing any more.
var ErrOvertaken = errors.New("another instance keeps the undo journal now")

// Store keeps a journal durably.
type Store interface {
	// Load gives the journal, nil if there is none.
	Load(ctx context.Context) (*Journal, error)
	// Save stores it, or gives ErrOvertaken if another writer has saved one of this version
	// or a later one. One without entries may be dropped, unless somebody has saved since.
	Save(ctx context.Context, j *Journal) error
}

// JournalName is the journal's file in a dataset.
const JournalName = "_warmup.json"

// Files is where a FileStore keeps its file: a dataset, or a directory. Get's error matches
// fs.ErrNotExist where there is none.
type Files interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
}

// FileStore keeps the journal in a file. It compares versions but cannot compare and swap:
// the store in the broker decides between two instances, and files follow it. The file
// stays when nothing is left to undo: a removal that comes late, from a process that was
// asleep, would take a newer journal with it.
type FileStore struct{ Files Files }

var _ Store = FileStore{}

// Load reads the file.
func (s FileStore) Load(ctx context.Context) (*Journal, error) {
	data, err := s.Files.Get(ctx, JournalName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", JournalName, err)
	}
	return DecodeJournal(data)
}

// Save writes the file.
func (s FileStore) Save(ctx context.Context, j *Journal) error {
	last, err := s.Load(ctx)
	if err == nil && last != nil && last.Writer != j.Writer && last.Version >= j.Version {
		return ErrOvertaken
	}
	data, err := EncodeJournal(j)
	if err != nil {
		return err
	}
	if err := s.Files.Put(ctx, JournalName, data); err != nil {
		return fmt.Errorf("%s: %w", JournalName, err)
	}
	return nil
}

// load gives the newest journal of all stores. A store that cannot be read is an error
// unless another one has a journal: it may be the one with all that is left to undo. stale
// says that some store has entries that the newest does not know any more.
func load(ctx context.Context, stores []Store) (newest *Journal, stale bool, err error) {
	var errs []error
	entries := false
	for _, s := range stores {
		j, err := s.Load(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if j == nil {
			continue
		}
		entries = entries || len(j.Entries) > 0
		if newest == nil || j.Version > newest.Version {
			newest = j
		}
	}
	if newest == nil {
		return nil, false, errors.Join(errs...)
	}
	return newest, entries && len(newest.Entries) == 0, nil
}
