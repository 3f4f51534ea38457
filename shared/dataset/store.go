package dataset

import (
	"context"
	"errors"
	"io"
)

// ErrFenced is returned to a writer of an epoch that has ended, or never began: the
// epoch's staging directory does not exist, and only BeginEpoch makes it.
var ErrFenced = errors.New("the epoch has ended; nothing of it can be staged any more")

// ErrNotStaged is returned by Reveal for a file that is neither staged nor visible.
var ErrNotStaged = errors.New("the file is neither staged nor visible")

// StagedFile is what a store knows about a file that it has staged.
type StagedFile struct {
	Bytes    int64
	Checksum string // XXH3, 128 bits, hexadecimal
	UploadID string // S3: the multipart upload that Reveal completes; "" on disk
}

// VisibleFile is a file under features/.
type VisibleFile struct {
	Family string // the family's id; "" if the file is not where a family's files are
	Name   string
	Bytes  int64
	Path   string // in the dataset, with slashes
}

// Blob is a stored file that can be read at any place.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// PendingFile is a file that is being written. Commit makes it appear, durably and
// whole, in place of what had its name before; Close without Commit drops it.
type PendingFile interface {
	io.WriteCloser
	Commit() error
}

// Store holds the dataset of one run. Methods may be called at the same time. What a
// method has written is durable when it returns, unless said otherwise. Errors about what is
// not there match fs.ErrNotExist, unless said otherwise.
//
// Staging lives in a directory of its own for each epoch. BeginEpoch alone makes it and
// EndEpoch removes it, so a writer that was asleep while its epoch ended gets ErrFenced.
type Store interface {
	// BeginEpoch makes the epoch's staging directory. The token tells apart two systems
	// that began the same epoch. Repeating it changes nothing.
	BeginEpoch(ctx context.Context, epoch uint64, token string) error
	// EndEpoch removes the epoch's staging directory with all in it, when what was made visible
	// is durable. It may be gone already.
	EndEpoch(ctx context.Context, epoch uint64, token string) error
	// ListStaging names the staging directories, StagingName each.
	ListStaging(ctx context.Context) ([]string, error)
	// RemoveStaging is EndEpoch for a staging directory by its name.
	RemoveStaging(ctx context.Context, name string) error
	// Unstage removes what is staged of a part that will never be committed, as far as it can:
	// what remains is removed with the epoch.
	Unstage(ctx context.Context, epoch uint64, token, part string) error

	// Stage writes a file that nobody sees until Reveal. A name can be staged once;
	// fs.ErrExist if it was. What a failed call has written is removed. It is durable when the
	// part's index is, or, made visible without one, when the epoch has ended.
	Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (StagedFile, error)
	// Reveal makes a staged file visible. It may be repeated, and by anyone: nil if the
	// file is visible already, ErrNotStaged if it is neither visible nor staged. Until the
	// epoch ends a power failure may undo it: the file is staged then as before.
	Reveal(ctx context.Context, epoch uint64, token, part, family, name string, staged StagedFile) error

	// PutIndex writes a completion index, named by IndexName, and makes what is staged of its
	// part durable before. ErrFenced if no system has the index's epoch begun.
	PutIndex(ctx context.Context, name string, data []byte) error
	GetIndex(ctx context.Context, name string) ([]byte, error)
	// ListIndexes names the completion indexes in order of their names.
	ListIndexes(ctx context.Context) ([]string, error)
	// RemoveIndex removes an index. It may be gone already.
	RemoveIndex(ctx context.Context, name string) error

	// StatVisible gives the size of a visible file.
	StatVisible(ctx context.Context, family, name string) (bytes int64, err error)
	// ListVisible gives every file under features/, in order of their paths.
	ListVisible(ctx context.Context) ([]VisibleFile, error)
	// RemoveVisible removes visible files of a family. They may be gone already.
	RemoveVisible(ctx context.Context, family string, names ...string) error
	OpenVisible(ctx context.Context, family, name string) (Blob, error)

	// Put writes a file beside features/ (ManifestName …) in one step, replacing what was there.
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	// Open reads a file beside features/ that may be large.
	Open(ctx context.Context, name string) (Blob, error)
	// Remove removes a file beside features/. It may be gone already.
	Remove(ctx context.Context, name string) error
	// Create writes a file that must not exist yet; fs.ErrExist if it does. A reader sees
	// all of it or nothing.
	Create(ctx context.Context, name string, data []byte) error
	// PutWriter is Put for content that does not fit memory.
	PutWriter(ctx context.Context, name string) (PendingFile, error)
}
