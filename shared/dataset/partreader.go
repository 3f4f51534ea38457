package dataset

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// DecodePart reads what EncodePart wrote. It takes no byte on trust: an index that is
// cut short, altered or of another version is an error.
func DecodePart(data []byte) (*Part, error) {
	p, err := decodePart(data)
	if err != nil {
		return nil, fmt.Errorf("completion index: %w", err)
	}
	return p, nil
}

func decodePart(data []byte) (*Part, error) {
	head := len(indexMagic) + 1
	if len(data) < head+indexSumLen || string(data[:len(indexMagic)]) != indexMagic {
		return nil, errors.New("this is no completion index, or it is cut short")
	}
	version := data[head-1]
	if version < indexWithoutStats || version > indexVersion {
		return nil, fmt.Errorf("format version %d; this program reads versions %d to %d", version, indexWithoutStats, indexVersion)
	}
	body, sum := data[:len(data)-indexSumLen], data[len(data)-indexSumLen:]
	if xxh3.Hash(body) != binary.BigEndian.Uint64(sum) {
		return nil, errors.New("the checksum does not match: the bytes were damaged")
	}
	r := &indexReader{data: body, at: head, stats: version != indexWithoutStats}
	p := &Part{Run: r.string(), Epoch: r.uvarint(), Name: r.string()}
	p.Keys = make([]sample.Key, r.count(len(sample.Key{})))
	for i := range p.Keys {
		copy(p.Keys[i][:], r.bytes(len(sample.Key{})))
	}
	if version > indexUnzipped {
		r.unzip()
	}
	families := r.count(minFamilyPartBytes)
	if families*(len(p.Keys)/8) > maxBitmapBytes {
		return nil, fmt.Errorf("%d families of %d samples are more than an index can have", families, len(p.Keys))
	}
	p.Families = make([]FamilyPart, families)
	for i := range p.Families {
		r.familyPart(&p.Families[i], len(p.Keys))
	}
	if r.err == nil && r.at != len(r.data) {
		r.fail("bytes are left over")
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

const (
	minStatsBytes      = 4       // what the shortest statistics take
	minFamilyPartBytes = 9       // what the shortest family of an index takes
	maxBitmapBytes     = 1 << 31 // of all families: 100 million samples of 170 families
)

// indexReader reads an index. After its first error everything it gives is zero.
type indexReader struct {
	data  []byte
	at    int
	stats bool // it has statistics
	err   error
}

func (r *indexReader) fail(msg string) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: %s", r.at, msg)
	}
}

func (r *indexReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		r.fail("want a number")
		return 0
	}
	r.at += n
	return v
}

// size reads a number that fits int64.
func (r *indexReader) size() int64 {
	v := r.uvarint()
	if v > 1<<62 {
		r.fail("a number is too large")
		return 0
	}
	return int64(v)
}

// count reads the number of things of at least so many bytes, which must be there.
func (r *indexReader) count(bytes int) int {
	n := r.uvarint()
	if n > uint64(len(r.data)-r.at)/uint64(bytes) {
		r.fail("more is announced than follows")
		return 0
	}
	return int(n)
}

func (r *indexReader) bytes(n int) []byte {
	if r.err != nil || n > len(r.data)-r.at {
		r.fail("cut short")
		return nil
	}
	b := r.data[r.at : r.at+n]
	r.at += n
	return b
}

func (r *indexReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *indexReader) string() string { return string(r.bytes(r.count(1))) }

// unzip goes on with what follows, which may be in a frame.
func (r *indexReader) unzip() {
	form := r.byte()
	switch {
	case r.err != nil || form == familiesRaw:
	case form != familiesZipped:
		r.fail("unknown form of families")
	default:
		families, err := unzipper().DecodeAll(r.data[r.at:], nil)
		if err != nil {
			r.fail("its families: " + err.Error())
			return
		}
		r.data, r.at = families, 0
	}
}

func (r *indexReader) familyPart(f *FamilyPart, keys int) {
	f.Family = r.string()
	f.File.Name = r.string()
	f.File.Rows = r.size()
	f.File.Bytes = r.size()
	f.File.Checksum = r.string()
	f.File.UploadID = r.string()
	f.FromDynamoDB = r.size()
	f.File.Columns = make([]Column, r.count(2))
	for i := range f.File.Columns {
		r.column(&f.File.Columns[i])
	}
	if r.stats {
		r.statsOf(f)
	}
	f.Rows = r.bitmap(keys)
	if r.err != nil {
		return
	}
	if err := CheckFamily(f.Family); err != nil {
		r.fail(err.Error())
	} else if err := CheckFileName(f.File.Name); err != nil {
		r.fail(err.Error())
	} else if _, err := hex.DecodeString(f.File.Checksum); err != nil {
		r.fail("the checksum of a file is not hexadecimal")
	}
}

func (r *indexReader) column(c *Column) {
	flags := r.byte()
	c.Kind = packed.Kind(flags & kindMask)
	if c.Kind > packed.JSON || flags&^(kindMask|columnExact|columnRenamed) != 0 {
		r.fail("unknown kind of column")
	}
	c.ExactAsDouble = flags&columnExact != 0
	c.Feature = r.string()
	c.Name = c.Feature
	if flags&columnRenamed != 0 {
		c.Name = r.string()
	}
}

func (r *indexReader) statsOf(f *FamilyPart) {
	n := r.count(minStatsBytes)
	if n == 0 {
		return
	}
	if n != len(f.File.Columns) {
		r.fail("there are statistics of other columns")
		return
	}
	f.Stats = make([]ColumnStats, n)
	for i := range f.Stats {
		flags := r.byte()
		f.Stats[i] = ColumnStats{
			Kinds: KindSet(flags & statsKinds), Varied: flags&statsVaried != 0,
			Absent: r.size(), Null: r.size(), NotFinite: r.size(),
		}
		if flags&statsSame == 0 {
			continue
		}
		if b := r.bytes(8); b != nil {
			f.Stats[i].Same = binary.BigEndian.Uint64(b)
		}
		if f.Stats[i].Same == 0 || f.Stats[i].Varied {
			r.fail("statistics contradict themselves")
		}
	}
}

func (r *indexReader) bitmap(keys int) Bitmap {
	if r.err != nil {
		return nil
	}
	b := NewBitmap(keys)
	switch r.byte() {
	case bitmapNone:
	case bitmapAll:
		for i := range b {
			b[i] = ^uint64(0)
		}
		if rest := keys % 64; rest != 0 {
			b[len(b)-1] = 1<<rest - 1
		}
	case bitmapRaw:
		for i, octet := range r.bytes((keys + 7) / 8) {
			b[i/8] |= uint64(octet) << (i % 8 * 8)
		}
		if !b.within(keys) {
			r.fail("a bitmap is longer than the keys")
		}
	default:
		r.fail("unknown form of bitmap")
	}
	return b
}
