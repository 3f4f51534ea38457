package dataset

import (
	"math/bits"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// Part says which cells the files of one part hold: its completion index.
type Part struct {
	Run      string
	Epoch    uint64
	Name     string
	Families []FamilyPart
	Keys     []sample.Key // the samples of all families, each once
}

// FamilyPart is one family's share of a part: one Parquet file.
type FamilyPart struct {
	Family       string
	File         File
	Stats        []ColumnStats // of the file's columns, in their order; none of a file that was written anew
	Rows         Bitmap        // over the part's Keys: those whose cell the file holds
	FromDynamoDB int64         // rows whose source is dynamodb
}

// File is a Parquet file as commits name it.
type File struct {
	Name     string // the same in staging and under features/; see PartFile
	Rows     int64
	Bytes    int64
	Checksum string // XXH3, 128 bits, hexadecimal
	UploadID string // S3: the multipart upload that makes it visible; "" on disk
	Columns  []Column
}

// Column is a feature's column in one file.
type Column struct {
	Feature       string // the name that the backends use
	Name          string // the name in the file
	Kind          packed.Kind
	ExactAsDouble bool // of an Int64 column: it may become a Double and loses nothing
}

// Bitmap is a set of small numbers: bit i%64 of word i/64.
type Bitmap []uint64

// NewBitmap makes room for the numbers below n.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+63)/64) }

// Has tells whether i is in the set.
func (b Bitmap) Has(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 != 0 }

// Add puts i, which must be below the n of NewBitmap, into the set.
func (b Bitmap) Add(i int) { b[i/64] |= 1 << (i % 64) }

// Count counts the numbers in the set.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// full tells whether the set is exactly the numbers below n.
func (b Bitmap) full(n int) bool { return n > 0 && b.Count() == n && b.within(n) }

// within tells whether all numbers of the set are below n.
func (b Bitmap) within(n int) bool {
	for i, w := range b {
		if rest := n - i*64; rest < 64 && w>>max(rest, 0) != 0 {
			return false
		}
	}
	return true
}
