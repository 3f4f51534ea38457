package commitlog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Outcome is what the log says of a part.
type Outcome string

// The outcomes. A part that the log does not name has none.
const (
	Committed Outcome = "committed"
	Rejected  Outcome = "rejected"
	Voided    Outcome = "voided"
)

// State is what the log says up to some entry. The zero value is the empty log.
//
// A State is not safe for use by several goroutines.
type State struct {
	// VerdictsOnly says that nobody will ask for files: none are kept, and none are looked
	// for. Whether an entry is valid comes out the same, because its writer has checked its
	// files on the very entries before it, which prev names.
	VerdictsOnly bool

	Last     string // id of the last valid entry
	Epoch    uint64 // of the last Open
	Token    string // of the last Open
	Sealed   bool   // no epoch is open
	Families []string
	Hash     string // of the run file of the last Open

	// parts holds the verdict on each part of each epoch, by PartID, without its files.
	parts map[string]*Entry
	// live holds the files that belong to the dataset, removed those that did.
	live    map[FileID]File
	removed map[FileID]bool
	// bases holds the names of the lists that Open entries started with: whoever reads the
	// log from its beginning needs each of them.
	bases map[string]bool

	faults faults
}

// faults switch single rules off. Only the model test sets them, to prove that it would
// find the fault.
type faults struct{ ignorePrev, ignoreEpoch, ignoreSeal, sweepAnything, presumeCommit bool }

// PartID names a part of an epoch, as completion indexes are named.
func PartID(epoch uint64, part string) string { return fmt.Sprintf("%d-%s", epoch, part) }

// Apply takes in the next entry of the log. It returns why the entry is void, or "" when
// it is valid; a void entry changes nothing. base gives the live files at the start of an
// epoch, which the entry names; it is asked for valid Open entries only.
func (s *State) Apply(e *Entry, base func(*Entry) ([]File, error)) (void string, err error) {
	if why := s.Check(e); why != "" {
		return why, nil
	}
	if e.Type == Open {
		var files []File
		if !s.VerdictsOnly {
			if files, err = base(e); err != nil {
				return "", fmt.Errorf("commit log, epoch %d: files at its start: %w", e.Epoch, err)
			}
		}
		s.open(e, files)
	} else {
		s.take(e)
	}
	s.Last = e.ID
	return "", nil
}

// Check tells why an entry would be void if it came next, or "".
func (s *State) Check(e *Entry) string {
	if e.Prev != s.Last && !s.faults.ignorePrev {
		return fmt.Sprintf("its prev is %q, the last valid entry is %q", e.Prev, s.Last)
	}
	if e.Type == Open {
		if e.Epoch <= s.Epoch && !s.faults.ignoreEpoch {
			return fmt.Sprintf("it opens epoch %d, the log is at epoch %d", e.Epoch, s.Epoch)
		}
		if s.Epoch != 0 && !s.Sealed && !s.faults.ignoreSeal {
			return fmt.Sprintf("it opens epoch %d before epoch %d is sealed", e.Epoch, s.Epoch)
		}
		return ""
	}
	if s.Epoch == 0 {
		return "no epoch was opened"
	}
	switch e.Type {
	case Commit, Reject:
		switch {
		case e.Epoch != s.Epoch && !s.faults.ignoreEpoch:
			return fmt.Sprintf("it is of epoch %d, the log is at epoch %d", e.Epoch, s.Epoch)
		case s.Sealed && !s.faults.ignoreSeal:
			return "the epoch is sealed"
		case s.verdict(e) != nil:
			return "the part was decided before"
		}
	case Seal:
		if e.Epoch != s.Epoch || s.Sealed {
			return "the epoch is sealed already, or another one"
		}
	case Void, Swap, Claim:
		return s.checkRemoval(e)
	default:
		return fmt.Sprintf("type %q is unknown", e.Type)
	}
	return ""
}

// checkRemoval is Check for entries that take a part or files out of the dataset, or say
// that no more will be. A part may be voided at any time if nothing is said of it yet; files
// belong to the finaliser, and it works on the sealed epoch alone.
func (s *State) checkRemoval(e *Entry) string {
	if e.Part != "" {
		if s.verdict(e) != nil {
			return "the part was decided before"
		}
		return ""
	}
	if e.Epoch != s.Epoch && !s.faults.ignoreEpoch {
		return fmt.Sprintf("it is of epoch %d, the log is at epoch %d", e.Epoch, s.Epoch)
	}
	if !s.Sealed && !s.faults.ignoreSeal {
		return "the epoch is not sealed yet"
	}
	for _, name := range e.Remove {
		if _, ok := s.live[FileID{e.Family, name}]; !ok && !s.VerdictsOnly {
			return fmt.Sprintf("file %s of family %s is not live", name, e.Family)
		}
	}
	return ""
}

func (s *State) verdict(e *Entry) *Entry { return s.parts[PartID(e.Epoch, e.Part)] }

func (s *State) open(e *Entry, files []File) {
	s.Epoch, s.Token, s.Sealed = e.Epoch, e.Token, false
	s.Families, s.Hash = e.Families, e.RunFileHash
	s.live = make(map[FileID]File, len(files))
	for _, f := range files {
		s.live[f.ID()] = f
	}
	if s.parts == nil {
		s.parts, s.removed, s.bases = map[string]*Entry{}, map[FileID]bool{}, map[string]bool{}
	}
	if e.Base != "" {
		s.bases[e.Base] = true
	}
}

func (s *State) take(e *Entry) {
	switch e.Type {
	case Commit:
		s.add(e.Files)
		verdict := *e
		verdict.Files = nil // some 15 KB, which live has
		s.parts[PartID(e.Epoch, e.Part)] = &verdict
	case Reject:
		s.parts[PartID(e.Epoch, e.Part)] = e
	case Void, Swap:
		if e.Part != "" {
			s.parts[PartID(e.Epoch, e.Part)] = e
			return
		}
		for _, name := range e.Remove {
			delete(s.live, FileID{e.Family, name})
			s.removed[FileID{e.Family, name}] = true
		}
		s.add(e.Add)
	case Seal:
		s.Sealed = true
	}
}

func (s *State) add(files []File) {
	if s.VerdictsOnly {
		return
	}
	for _, f := range files {
		s.live[f.ID()] = f
	}
}

// Part gives the outcome of a part and the entry that decided it, without its files.
func (s *State) Part(epoch uint64, part string) (Outcome, *Entry) {
	e := s.parts[PartID(epoch, part)]
	switch {
	case e == nil && s.faults.presumeCommit:
		return Committed, &Entry{Type: Commit}
	case e == nil:
		return "", nil
	case e.Type == Commit:
		return Committed, e
	case e.Type == Reject:
		return Rejected, e
	}
	return Voided, e
}

// Opened tells whether an epoch is open: only then can parts be committed.
func (s *State) Opened() bool { return s.Epoch != 0 && !s.Sealed }

// Live tells whether a file belongs to the dataset: only then may it be visible.
func (s *State) Live(id FileID) bool { _, ok := s.live[id]; return ok }

// Stranger tells whether the log has never heard of a file. Nothing becomes visible before
// it is committed, so a visible stranger was committed in a log that is lost.
func (s *State) Stranger(id FileID) bool { return !s.Live(id) && !s.removed[id] }

// Sweepable tells whether a visible file of an epoch may be removed because no entry names
// it. The log must have been read after the file was seen: what is visible was committed
// before, so such a log knows it. Names of later epochs are a successor's.
func (s *State) Sweepable(id FileID, epoch uint64) bool {
	return (!s.Live(id) || s.faults.sweepAnything) && epoch <= s.Epoch
}

// Base tells whether an Open entry names a list of files.
func (s *State) Base(name string) bool { return s.bases[name] }

// Removed tells whether a file belonged to the dataset and was taken out of it.
func (s *State) Removed(id FileID) bool { return s.removed[id] && !s.Live(id) }

// Files gives the files that belong to the dataset, sorted by family and name.
func (s *State) Files() []File {
	return slices.SortedFunc(maps.Values(s.live), func(a, b File) int {
		if c := strings.Compare(a.Family, b.Family); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
