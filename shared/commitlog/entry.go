// Package commitlog holds the commit log of a run: what its entries are and what they
// mean. It is pure; shared/broker/commits reads and appends them.
//
// Writers stage, the leader commits. A file counts as part of the dataset if and only if
// the log says so, and only then may it be made visible. Everything that the system
// knows about what is committed is a fold over the log: State.Apply.
package commitlog

import (
	"encoding/json"
	"fmt"
	"time"
)

// Type is the type of an entry.
type Type string

// The types of entries.
const (
	Open   Type = "open"   // an epoch begins
	Commit Type = "commit" // a part's files belong to the dataset
	Reject Type = "reject" // a part holds cells that are committed already; its writer stages the rest again
	Void   Type = "void"   // a part of an older epoch, or a file that was lost, belongs to it no longer
	Swap   Type = "swap"   // files of a family were written anew: Remove leaves, Add comes, all at once
	Seal   Type = "seal"   // the epoch ends; nothing commits until the next Open
	Claim  Type = "claim"  // a leader begins to work on the files of the sealed epoch: whoever began before has to begin again
)

// File is a file of the dataset. Its completion index is the one of the part that its name
// tells: see dataset.PartFile.
type File struct {
	Family   string `json:"family"`
	Name     string `json:"name"` // part-….parquet
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Checksum string `json:"checksum"`
	UploadID string `json:"upload_id,omitempty"` // of the multipart upload that makes it visible
}

// ID identifies a file within a dataset.
func (f *File) ID() FileID { return FileID{f.Family, f.Name} }

// FileID identifies a file within a dataset.
type FileID struct{ Family, Name string }

// Entry is one entry of the log.
type Entry struct {
	ID    string    `json:"id"`   // unique
	Prev  string    `json:"prev"` // id of the valid entry before it, "" for the first
	Type  Type      `json:"type"`
	Epoch uint64    `json:"epoch"`
	At    time.Time `json:"at"` // for people; nothing depends on it

	// Open
	RunFileHash string   `json:"run_file_hash,omitempty"`
	Families    []string `json:"families,omitempty"`
	Token       string   `json:"token,omitempty"` // names the epoch's staging area
	Base        string   `json:"base,omitempty"`  // file under _commits/ that lists the files that are live at the start
	BaseSum     string   `json:"base_sum,omitempty"`

	// Commit, Reject, Void: the part, and for Commit its files.
	Part  string `json:"part,omitempty"`
	Files []File `json:"files,omitempty"`
	// Reject: the cells that are committed already, a compressed bitmap over the part's
	// keys for each family.
	Rejected map[string][]byte `json:"rejected,omitempty"`

	// Void of a lost file, and Swap.
	Family string   `json:"family,omitempty"`
	Remove []string `json:"remove,omitempty"` // names
	Add    []File   `json:"add,omitempty"`

	Reason string `json:"reason,omitempty"`
}

// Encode gives the wire form of an entry.
func (e *Entry) Encode() ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("commit log entry: %w", err)
	}
	return data, nil
}

// Decode reads the wire form of an entry.
func Decode(data []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("commit log entry: %w", err)
	}
	if e.ID == "" || e.Type == "" || e.Epoch == 0 {
		return nil, fmt.Errorf("commit log entry: id, type or epoch is missing")
	}
	return &e, nil
}
