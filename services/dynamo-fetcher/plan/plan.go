package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Bounds of DynamoDB.
const (
	MaxKeysPerCall    = 100  // keys of one BatchGetItem call
	MaxPartitionBytes = 2048 // value of a partition key
	MaxSortBytes      = 1024 // value of a sort key
)

// State says what became of a cell.
type State uint8

// The states of a cell.
const (
	Pending State = iota // not looked up yet, or the look-up failed
	Hit                  // found, and handed on
	Missed               // not cached: the feature service is to be asked
	Failed               // can never be answered from here; its verdict is made
)

// Cell is one cell of the block. Cells are in the order of the block's requests and
// their families, so that a cell's index says which it is.
type Cell struct {
	Request int32 // index in Plan.Requests
	Family  int32 // index in Run.Families
	Next    int32 // the next cell that the same key answers, -1 at the end
	State   State
}

// Key is a key that is looked up.
type Key struct {
	ID    string // see AppendID
	First int32  // the first cell that its item answers
	Call  int32  // index in Plan.Calls
	Slot  int32  // index in its call's Keys

	partitionBytes int32
}

// Partition is the value of the partition key, as it is sent.
func (k *Key) Partition() string { return k.ID[:k.partitionBytes] }

// Sort is the value of the sort key, as it is sent; "" where there is none.
func (k *Key) Sort() string { return k.ID[k.partitionBytes : len(k.ID)-2] }

// AppendID appends what identifies a key in its table, given that dst holds nothing
// but its partition value and then its sort value (numbers as AppendNumber has them):
// the length of the partition value, which tells the two apart.
func AppendID(dst []byte, partitionBytes int) []byte {
	return append(dst, byte(partitionBytes>>8), byte(partitionBytes))
}

// Call is one BatchGetItem call.
type Call struct {
	Table  int32   // index in Run.Tables
	Family int32   // the only family of its cells, -1 if there are several
	Keys   []int32 // indexes in Plan.Keys
}

// Unfit is a cell whose key no DynamoDB table can hold. One such key would make
// DynamoDB refuse its whole call.
type Unfit struct {
	Cell   int32
	Reason string
}

// Plan is how the cells of one block are looked up. Goroutines may work on different
// calls of it at the same time.
type Plan struct {
	Run      *Run
	Requests []work.Request
	Cells    []Cell
	Keys     []Key
	Calls    []Call
	Unfit    []Unfit

	ids []map[string]int32 // by table: the key of an id
}

// New plans the look-ups of a block. A family that the run does not know is an error.
// Cells of families that are not cached are Missed from the start.
func New(run *Run, requests []work.Request) (*Plan, error) {
	p := &Plan{Run: run, Requests: requests, ids: make([]map[string]int32, len(run.Tables))}
	byFamily, err := p.addCells()
	if err != nil {
		return nil, err
	}
	p.Keys = make([]Key, 0, len(p.Cells)) // no cell needs more than one, so that it never moves
	keys := keyMaker{plan: p}
	for table := range run.Tables {
		p.ids[table] = make(map[string]int32, p.lookUps(int32(table), byFamily))
		ranges := keys.addTable(int32(table), byFamily)
		p.addCalls(int32(table), ranges)
	}
	return p, nil
}

// Find gives the key of a call's table that has this id.
func (p *Plan) Find(call *Call, id []byte) (key int32, ok bool) {
	key, ok = p.ids[call.Table][string(id)]
	return key, ok
}

// addCells lists the cells, and those of each family.
func (p *Plan) addCells() (byFamily [][]int32, err error) {
	n := 0
	for i := range p.Requests {
		n += len(p.Requests[i].Families)
	}
	p.Cells = make([]Cell, 0, n)
	byFamily = make([][]int32, len(p.Run.Families))
	for i := range p.Requests {
		for _, id := range p.Requests[i].Families {
			family, ok := p.Run.Family(id)
			if !ok {
				return nil, fmt.Errorf("request %d asks for the family %q, which the run does not have", i+1, id)
			}
			cell := Cell{Request: int32(i), Family: family, Next: -1}
			if p.Run.Families[family].Table == NoTable {
				cell.State = Missed
			}
			byFamily[family] = append(byFamily[family], int32(len(p.Cells)))
			p.Cells = append(p.Cells, cell)
		}
	}
	return byFamily, nil
}

// lookUps counts the cells of a table.
func (p *Plan) lookUps(table int32, byFamily [][]int32) int {
	n := 0
	for family, cells := range byFamily {
		if p.Run.Families[family].Table == table {
			n += len(cells)
		}
	}
	return n
}

// keyMaker makes keys. Their ids share memory: a Builder never changes what it has
// written, even when it grows.
type keyMaker struct {
	plan    *Plan
	text    strings.Builder
	scratch []byte
}

// keyRange is the keys of one family: Plan.Keys[from:to].
type keyRange struct{ from, to int32 }

// addTable makes the keys of a table, family by family.
func (m *keyMaker) addTable(table int32, byFamily [][]int32) []keyRange {
	p := m.plan
	var ranges []keyRange
	for family, cells := range byFamily {
		if p.Run.Families[family].Table != table {
			continue
		}
		from := int32(len(p.Keys))
		for _, cell := range cells {
			m.addCell(table, cell)
		}
		if to := int32(len(p.Keys)); to > from {
			ranges = append(ranges, keyRange{from, to})
		}
	}
	return ranges
}

// addCell finds or makes the key of a cell.
func (m *keyMaker) addCell(table, cell int32) {
	p := m.plan
	c := &p.Cells[cell]
	partitionBytes, reason := m.write(&p.Requests[c.Request], p.Run.Families[c.Family].ID)
	if reason != "" {
		c.State = Failed
		p.Unfit = append(p.Unfit, Unfit{Cell: cell, Reason: reason})
		return
	}
	if known, ok := p.ids[table][string(m.scratch)]; ok { // one answer serves them all
		c.Next = p.Keys[known].First
		p.Keys[known].First = cell
		return
	}
	start := m.text.Len()
	m.text.Write(m.scratch)
	id := m.text.String()[start:]
	p.ids[table][id] = int32(len(p.Keys))
	p.Keys = append(p.Keys, Key{ID: id, First: cell, partitionBytes: int32(partitionBytes)})
}

// write leaves the id of a request's key in m.scratch.
func (m *keyMaker) write(r *work.Request, family string) (partitionBytes int, reason string) {
	run := m.plan.Run
	m.scratch, reason = appendValue(m.scratch[:0], &run.Partition, MaxPartitionBytes, r, family)
	partitionBytes = len(m.scratch)
	if reason == "" && run.Sort != nil {
		m.scratch, reason = appendValue(m.scratch, run.Sort, MaxSortBytes, r, family)
	}
	m.scratch = AppendID(m.scratch, partitionBytes)
	return partitionBytes, reason
}

// appendValue appends the value of a key attribute, or says why there is none.
func appendValue(dst []byte, a *runfile.KeyAttribute, maxBytes int, r *work.Request, family string) (_ []byte, reason string) {
	start := len(dst)
	dst = a.Value.Append(dst, r.UserID, family, r.EpochMS)
	value := dst[start:]
	switch {
	case a.Type == "N":
		number, ok := AppendNumber(dst[:start], value) // over the value itself, which it reads first
		if !ok {
			return dst, fmt.Sprintf("the key attribute %q has type N, but its value %q is no number that DynamoDB can hold", a.Name, value)
		}
		return number, ""
	case len(value) == 0:
		return dst, fmt.Sprintf("the key attribute %q would be empty", a.Name)
	case len(value) > maxBytes:
		return dst, fmt.Sprintf("the key attribute %q would have %d bytes; DynamoDB allows %d", a.Name, len(value), maxBytes)
	case !utf8.Valid(value):
		return dst, fmt.Sprintf("the key attribute %q would be %q, which is no UTF-8 text", a.Name, value)
	}
	return dst, ""
}

// addCalls packs a table's keys: full calls of one family each, then what is left of
// all families.
func (p *Plan) addCalls(table int32, ranges []keyRange) {
	var rest []int32
	for _, r := range ranges {
		keys := make([]int32, 0, r.to-r.from)
		for key := r.from; key < r.to; key++ {
			keys = append(keys, key)
		}
		for len(keys) >= MaxKeysPerCall {
			p.addCall(table, keys[:MaxKeysPerCall])
			keys = keys[MaxKeysPerCall:]
		}
		rest = append(rest, keys...)
	}
	for len(rest) > 0 {
		n := min(len(rest), MaxKeysPerCall)
		p.addCall(table, rest[:n])
		rest = rest[n:]
	}
}

func (p *Plan) addCall(table int32, keys []int32) {
	call := Call{Table: table, Family: p.Cells[p.Keys[keys[0]].First].Family, Keys: keys}
	for slot, key := range keys {
		k := &p.Keys[key]
		k.Call, k.Slot = int32(len(p.Calls)), int32(slot)
		for cell := k.First; cell >= 0; cell = p.Cells[cell].Next {
			if p.Cells[cell].Family != call.Family {
				call.Family = -1
			}
		}
	}
	p.Calls = append(p.Calls, call)
}
