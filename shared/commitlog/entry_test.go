package commitlog

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// The wire form is read by every instance, older and newer ones.
func TestEntryOnTheWire(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	file := File{Family: "credit", Name: "part-3-w1.parquet", Rows: 2, Bytes: 300, Checksum: "ab"}
	for _, tt := range []struct {
		entry Entry
		wire  string
	}{
		{
			Entry{ID: "e1", Type: Open, Epoch: 3, At: at, RunFileHash: "h", Families: []string{"credit"}, Token: "t", Base: "3-open-x", BaseSum: "s"},
			`{"id":"e1","prev":"","type":"open","epoch":3,"at":"2025-01-31T12:00:00Z","run_file_hash":"h","families":["credit"],"token":"t","base":"3-open-x","base_sum":"s"}`,
		},
		{
			Entry{ID: "e2", Prev: "e1", Type: Commit, Epoch: 3, At: at, Part: "w1", Files: []File{file}},
			`{"id":"e2","prev":"e1","type":"commit","epoch":3,"at":"2025-01-31T12:00:00Z","part":"w1","files":[{"family":"credit","name":"part-3-w1.parquet","rows":2,"bytes":300,"checksum":"ab"}]}`,
		},
		{
			Entry{ID: "e3", Prev: "e2", Type: Reject, Epoch: 3, At: at, Part: "w2", Rejected: map[string][]byte{"credit": {1, 2}}},
			`{"id":"e3","prev":"e2","type":"reject","epoch":3,"at":"2025-01-31T12:00:00Z","part":"w2","rejected":{"credit":"AQI="}}`,
		},
		{
			Entry{ID: "e4", Prev: "e3", Type: Swap, Epoch: 3, At: at, Family: "credit", Remove: []string{"part-3-w1.parquet"}, Add: []File{file}, Reason: "types settled"},
			`{"id":"e4","prev":"e3","type":"swap","epoch":3,"at":"2025-01-31T12:00:00Z","family":"credit","remove":["part-3-w1.parquet"],"add":[{"family":"credit","name":"part-3-w1.parquet","rows":2,"bytes":300,"checksum":"ab"}],"reason":"types settled"}`,
		},
	} {
		data, err := tt.entry.Encode()
		if err != nil || string(data) != tt.wire {
			t.Errorf("%s is encoded as\n%s, %v; want\n%s", tt.entry.Type, data, err, tt.wire)
		}
		got, err := Decode([]byte(tt.wire))
		if err != nil || !reflect.DeepEqual(got, &tt.entry) {
			t.Errorf("%s is decoded as %+v, %v", tt.entry.Type, got, err)
		}
	}
}

func TestStagedOnTheWire(t *testing.T) {
	t.Parallel()
	const wire = `{"epoch":3,"part":"w1","files":[{"family":"credit","name":"part-3-w1.parquet","rows":2,"bytes":300,"checksum":"ab"}]}`
	part := &dataset.Part{Epoch: 3, Name: "w1", Families: []dataset.FamilyPart{
		{Family: "credit", File: dataset.File{Name: "part-3-w1.parquet", Rows: 2, Bytes: 300, Checksum: "ab"}},
	}}
	staged := &Staged{Epoch: part.Epoch, Part: part.Name, Files: FilesOf(part)}
	data, err := staged.Encode()
	if err != nil || string(data) != wire {
		t.Errorf("encoded as %s, %v; want %s", data, err, wire)
	}
	got, err := DecodeStaged(data)
	if err != nil || !reflect.DeepEqual(got, staged) {
		t.Errorf("decoded as %+v, %v", got, err)
	}
}

// A part with as many files as it may have stays below 64 KB.
func TestLargestPart(t *testing.T) {
	t.Parallel()
	s := Staged{Epoch: 1 << 40, Part: strings.Repeat("p", 20)}
	for i := range MaxStagedFiles {
		s.Files = append(s.Files, largestFile(i))
	}
	data, err := s.Encode()
	if err != nil || len(data) > 64<<10 {
		t.Errorf("%d bytes, %v; want at most 64 KB", len(data), err)
	}
}

// largestFile is a file whose names and ids are as long as they may be.
func largestFile(i int) File {
	return File{
		Family: fmt.Sprintf("%065d", i) + strings.Repeat("\x01", 45), Name: dataset.PartFile(1<<40, strings.Repeat("p", 20)),
		Rows: 1 << 40, Bytes: 1 << 40, Checksum: strings.Repeat("c", 32), UploadID: strings.Repeat("u", 350),
	}
}

// A swap of as many files as it may have fits a message of any broker.
func TestLargestSwap(t *testing.T) {
	t.Parallel()
	e := Entry{ID: "x", Type: Swap, Epoch: 1 << 40}
	for i := range MaxSwapFiles {
		f := largestFile(i)
		e.Family, e.Remove, e.Add = f.Family, append(e.Remove, f.Name), append(e.Add, f)
	}
	data, err := e.Encode()
	if err != nil || len(data) > 768<<10 {
		t.Errorf("%d bytes, %v; want at most 768 KB", len(data), err)
	}
}

// So does a merge.
func TestLargestMerge(t *testing.T) {
	t.Parallel()
	f := largestFile(0)
	e := Entry{ID: "x", Type: Swap, Epoch: 1 << 40, Family: f.Family, Add: []File{f}}
	for i := range MaxMergedFiles {
		e.Remove = append(e.Remove, largestFile(i).Name)
	}
	data, err := e.Encode()
	if err != nil || len(data) > 768<<10 {
		t.Errorf("%d bytes, %v; want at most 768 KB", len(data), err)
	}
}

// A part of any size is rejected in entries that fit a message, each of which brings its
// writer on.
func TestLargestReject(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	const words, limit = 100, 300
	var families []string
	var left [][]uint64
	total := 0
	for i := range 4 {
		bitmap := make([]uint64, words)
		for n := range bitmap {
			bitmap[n] = random.Uint64()
			total += bits.OnesCount64(bitmap[n])
		}
		families, left = append(families, fmt.Sprint("f", i)), append(left, bitmap)
	}
	entries := 0
	for ; len(families) > 0; entries++ {
		size, before := 0, total
		for family, data := range PackRejected(families, left, limit) {
			size += len(data)
			i := slices.Index(families, family)
			told, err := UnpackBitmap(data, 64*words)
			if err != nil {
				t.Fatal(err)
			}
			rest := 0
			for n := range told {
				if told[n]&^left[i][n] != 0 {
					t.Fatal("a cell is rejected that is not committed")
				}
				left[i][n] &^= told[n]
				total -= bits.OnesCount64(told[n])
				rest += bits.OnesCount64(left[i][n])
			}
			if rest == 0 {
				families, left = slices.Delete(families, i, i+1), slices.Delete(left, i, i+1)
			}
		}
		if size > limit || total == before {
			t.Fatalf("%d bytes that tell of %d cells; want at most %d bytes, and some cells", size, before-total, limit)
		}
	}
	if total != 0 || entries < 4 {
		t.Errorf("%d cells are left after %d entries", total, entries)
	}
	if got := PackRejected([]string{"f"}, [][]uint64{{0, 5}}, 0); len(got["f"]) == 0 {
		t.Error("nothing is rejected where there is no room, and its writer comes to no end")
	}
}

func TestWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", "{", `{"id":"x"}`, `{"id":"x","type":"seal"}`, `{"type":"seal","epoch":1}`, `{"id":"x","type":"seal","epoch":-1}`} {
		if e, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q is decoded as %+v", text, e)
		}
	}
	for _, text := range []string{"", "{", "{}", `{"epoch":1,"part":"w"}`, `{"part":"w","files":[{}]}`, `{"epoch":1,"files":[{}]}`} {
		if s, err := DecodeStaged([]byte(text)); err == nil {
			t.Errorf("%q is decoded as %+v", text, s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"id":"a","type":"open","epoch":1}`, `{"id":"b","prev":"a","type":"commit","epoch":1,"part":"p","files":[{"family":"f","name":"n"}]}`, `{`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Skip("a time beyond what JSON can say")
		}
		if _, err := Decode(again); err != nil {
			t.Errorf("%s was decoded, and cannot be once more: %v", again, err)
		}
		s := &State{} // no entry from outside can harm the fold
		for range 2 {
			_, _ = s.Apply(e, func(*Entry) ([]File, error) { return nil, nil })
			e.Prev = s.Last
		}
		s.Files()
	})
}

func FuzzDecodeStaged(f *testing.F) {
	f.Add([]byte(`{"epoch":3,"part":"w1","files":[{"family":"credit","name":"part-3-w1.parquet"}]}`))
	f.Add([]byte(`{"epoch":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStaged(data)
		if err == nil && (s.Epoch == 0 || s.Part == "" || len(s.Files) == 0) {
			t.Errorf("%q passes as %+v", data, s)
		}
	})
}

func TestBitmap(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 63, 64, 65, 1000} {
		b := dataset.NewBitmap(n)
		for i := 0; i < n; i += 3 {
			b.Add(i)
		}
		got, err := UnpackBitmap(PackBitmap(b), n)
		if err != nil || !slices.Equal(got, b) {
			t.Errorf("a bitmap of %d comes back as %v, %v", n, got, err)
		}
		if _, err := UnpackBitmap(PackBitmap(b), n+64); err == nil {
			t.Errorf("a bitmap of %d passes for one of %d", n, n+64)
		}
		if _, err := UnpackBitmap(PackBitmap(append(b, 0)), n); err == nil {
			t.Errorf("a bitmap that is too long passes for one of %d", n)
		}
	}
}

func FuzzUnpackBitmap(f *testing.F) {
	f.Add(PackBitmap([]uint64{1, 2, 3}), 150)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n &= 1<<16 - 1
		words, err := UnpackBitmap(data, n)
		if err == nil && len(words) != (n+63)/64 {
			t.Errorf("%d words for %d things", len(words), n)
		}
	})
}
