package recordsfile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/bits"

	"github.com/fastfeaturefetch/fff/shared/paged"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// maxReported bounds the bad records that a report lists.
const maxReported = 10

// Report is what Check found.
type Report struct {
	Records  int64        // rows, bad ones included
	Samples  int64        // distinct samples
	Cells    int64        // distinct cells
	Bad      []*BadRecord // the first ten
	BadTotal int64
	Hash     string // hexadecimal SHA-256 of the file's bytes
}

// Check reads the whole file: every row, and samples that are given again with other
// attributes. It keeps some 40 bytes a sample. An error means that the file cannot be
// read to its end; bad records are in the report.
func (f *File) Check(o Options) (*Report, error) {
	hash := sha256.New()
	r, err := f.read(o, hash)
	if err != nil {
		return nil, err
	}
	report, err := check(r, f.name, o.Families)
	if err == nil {
		err = f.hashRest(r, hash)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	report.Hash = hex.EncodeToString(hash.Sum(nil))
	return report, nil
}

// hashRest adds what reading the rows has left out: something behind the end of a text, and all
// of a Parquet file, which is not read in its order.
func (f *File) hashRest(r *Reader, to io.Writer) (err error) {
	if r.rest != nil {
		_, err = io.Copy(io.Discard, r.rest)
		return err
	}
	s := f.content.Stream()
	_, err = io.Copy(to, s)
	return errors.Join(err, s.Close())
}

func check(r *Reader, path string, families []string) (*Report, error) {
	report := &Report{}
	seen := newSamples(families)
	for row, err := range r.All() {
		bad, isBad := errors.AsType[*BadRecord](err)
		if err != nil && !isBad {
			return nil, err
		}
		report.Records++
		if err == nil && !seen.add(&row.Record) {
			bad = &BadRecord{
				File: path, Line: row.Line, Unit: r.unit(), Field: "attributes",
				Reason: "the sample was given before with other attributes; give the same ones, or leave one of the records out",
				Raw:    clipRaw(record.AppendJSON(nil, &row.Record)),
			}
		}
		if bad != nil {
			report.BadTotal++
			if len(report.Bad) < maxReported {
				report.Bad = append(report.Bad, bad)
			}
		}
	}
	report.Samples, report.Cells = int64(seen.samples.Len()), seen.cells
	return report, nil
}

func (r *Reader) unit() string {
	if _, ok := r.rows.(*parquetFile); ok {
		return "row"
	}
	return "line"
}

// samples remembers which cells were asked for, and with which attributes.
type samples struct {
	samples    sample.Numbers
	set        paged.List[uint32] // by sample
	attributes paged.List[uint64] // by sample, as far as there were any: hash, 0 = none
	cells      int64

	number map[string]int    // of a family
	sets   [][]uint64        // of families, by number
	ids    map[string]uint32 // of sets
	last   *string           // the list that was seen last …
	lastN  int
	lastID uint32 // … and its set
}

func newSamples(families []string) *samples {
	s := &samples{number: make(map[string]int, len(families)), ids: map[string]uint32{}}
	all := make([]uint64, (len(families)+63)/64)
	for i, id := range families {
		s.number[id] = i
		all[i/64] |= 1 << (i % 64)
	}
	s.intern(all) // set 0
	return s
}

func (s *samples) intern(set []uint64) uint32 {
	key := make([]byte, 0, 8*len(set))
	for _, w := range set {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	id, ok := s.ids[string(key)]
	if !ok {
		id = uint32(len(s.sets))
		s.ids[string(key)] = id
		s.sets = append(s.sets, set)
	}
	return id
}

// setOf gives the set of a list; records share their lists, so that most are known by
// their address.
func (s *samples) setOf(list []string) uint32 {
	if list == nil {
		return 0
	}
	if &list[0] == s.last && len(list) == s.lastN {
		return s.lastID
	}
	set := make([]uint64, len(s.sets[0]))
	for _, id := range list {
		i := s.number[id]
		set[i/64] |= 1 << (i % 64)
	}
	s.last, s.lastN, s.lastID = &list[0], len(list), s.intern(set)
	return s.lastID
}

func (s *samples) size(set uint32) (n int64) {
	for _, w := range s.sets[set] {
		n += int64(bits.OnesCount64(w))
	}
	return n
}

// add notes a record. It is false if the sample has other attributes already.
func (s *samples) add(r *record.Record) bool {
	set, hash := s.setOf(r.Families), record.AttributesHash(r.Attributes)
	n, fresh := s.samples.Put(r.Key())
	if fresh {
		s.set.Append(set)
		s.cells += s.size(set)
		if hash != 0 {
			s.attributes.Set(int(n), hash)
		}
		return true
	}
	if s.attributes.Get(int(n)) != hash {
		return false
	}
	if old := s.set.At(int(n)); *old != set {
		union := make([]uint64, len(s.sets[0]))
		for i := range union {
			union[i] = s.sets[*old][i] | s.sets[set][i]
		}
		id := s.intern(union)
		s.cells += s.size(id) - s.size(*old)
		*old = id
	}
	return true
}
