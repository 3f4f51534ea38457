package commitlog

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// MaxStagedFiles bounds the files of one part, so that the message that names them stays
// below 64 KB: with the longest family ids, and upload ids of 350 bytes, which are some 130
// on AWS and up to that elsewhere.
const MaxStagedFiles = 64

// MaxSwapFiles bounds the files that one Swap entry adds, so that it stays below 768 KB,
// counted as for MaxStagedFiles: a broker takes messages of 1 MB, unless it is told
// otherwise.
const MaxSwapFiles = 500

// MaxMergedFiles bounds the files that one Swap entry removes when it adds one, counted
// likewise.
const MaxMergedFiles = 3000

// MaxRejectedBytes bounds the bitmaps of one Reject entry, for the same reason. They grow by
// a third in the wire form.
const MaxRejectedBytes = 512 << 10

// Staged is the message on fff.parts.<run> with which a writer hands a part to the leader.
// Its files and its completion index are durable, and invisible.
type Staged struct {
	Epoch uint64 `json:"epoch"`
	Part  string `json:"part"`
	Files []File `json:"files"`
}

// FilesOf gives the files of a staged part as the commit log names them.
func FilesOf(p *dataset.Part) []File {
	files := make([]File, len(p.Families))
	for i := range p.Families {
		f := &p.Families[i]
		files[i] = File{
			Family: f.Family, Name: f.File.Name, Rows: f.File.Rows, Bytes: f.File.Bytes, Checksum: f.File.Checksum,
			UploadID: f.File.UploadID,
		}
	}
	return files
}

// Encode gives the wire form.
func (s *Staged) Encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("part: %w", err)
	}
	return data, nil
}

// DecodeStaged reads the wire form.
func DecodeStaged(data []byte) (*Staged, error) {
	var s Staged
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("part: %w", err)
	}
	if s.Epoch == 0 || s.Part == "" || len(s.Files) == 0 {
		return nil, fmt.Errorf("part: epoch, name or files are missing")
	}
	return &s, nil
}

// PackBitmap gives the compressed form in which a Reject entry carries a bitmap.
func PackBitmap(words []uint64) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestSpeed) // the level is valid
	raw := make([]byte, 0, 8*len(words))
	for _, word := range words {
		raw = binary.LittleEndian.AppendUint64(raw, word)
	}
	_, _ = w.Write(raw) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// PackRejected gives what a Reject entry says of the cells that are committed already: by
// family, in the order given, as much as has room in limit bytes, and one cell at least. A
// writer stages all else again, and is told of the rest then.
func PackRejected(families []string, cells [][]uint64, limit int) map[string][]byte {
	rejected := map[string][]byte{}
	for i, family := range families {
		data := PackBitmap(cells[i])
		for words := cells[i]; len(rejected) == 0 && len(data) > limit; {
			half := firstHalf(words)
			if len(half) == len(words) {
				break // a single word
			}
			words, data = half, PackBitmap(append(slices.Clone(half), make([]uint64, len(cells[i])-len(half))...))
		}
		if len(data) > limit && len(rejected) > 0 {
			break
		}
		rejected[family] = data
		limit -= len(data)
	}
	return rejected
}

// firstHalf cuts words so that half of those that are not zero are left, but one at least.
func firstHalf(words []uint64) []uint64 {
	var set []int
	for i, w := range words {
		if w != 0 {
			set = append(set, i)
		}
	}
	return words[:set[(len(set)-1)/2]+1]
}

// UnpackBitmap reads what PackBitmap gave, for a bitmap over n things.
func UnpackBitmap(data []byte, n int) ([]uint64, error) {
	words := make([]uint64, (n+63)/64)
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), int64(8*len(words)+1)))
	if err != nil {
		return nil, fmt.Errorf("bitmap of rejected cells: %w", err)
	}
	if len(raw) != 8*len(words) {
		return nil, fmt.Errorf("bitmap of rejected cells: %d bytes, want %d", len(raw), 8*len(words))
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return words, nil
}
