// Package plan turns a block of requests into BatchGetItem calls: which keys of which
// table are looked up in which call, and which cells each key's item answers.
//
// Keys are packed family by family across users, because an answer that holds one
// family is columnar from its first byte, and because the keys of such a call lie in
// different partitions. What is left of the families fills common calls, so that every
// call of a table but the last is full.
package plan

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// NoTable marks a family that is not looked up.
const NoTable = -1

// Family is a feature family as the fetcher sees it.
type Family struct {
	ID    string
	Lane  runfile.Lane
	Table int32 // index in Run.Tables, NoTable if the family is not cached
}

// Run is what a run file says about look-ups. It is safe for concurrent use.
type Run struct {
	Families  []Family
	Tables    []string
	Partition runfile.KeyAttribute
	Sort      *runfile.KeyAttribute // nil = none

	byID     map[string]int32
	prefixes [][]byte // of the request of each table, up to its first key
	suffix   []byte   // of a request, after its last key
}

// Compile reads what is needed of an expanded run file.
func Compile(f *runfile.File) *Run {
	r := &Run{byID: make(map[string]int32, len(f.Families))}
	tables := map[string]int32{}
	for i := range f.Families {
		family := &f.Families[i]
		table := int32(NoTable)
		if family.Cached && f.DynamoDB != nil {
			name := family.Table
			if name == "" {
				name = f.DynamoDB.Table
			}
			known, ok := tables[name]
			if !ok {
				known = int32(len(r.Tables))
				tables[name] = known
				r.Tables = append(r.Tables, name)
			}
			table = known
		}
		r.byID[family.ID] = int32(i)
		r.Families = append(r.Families, Family{ID: family.ID, Lane: family.Lane, Table: table})
	}
	if f.DynamoDB != nil {
		r.Partition = typed(f.DynamoDB.PartitionKey)
		if sort := f.DynamoDB.SortKey; sort != nil {
			a := typed(*sort)
			r.Sort = &a
		}
		r.compileRequest(f.DynamoDB.ConsistentRead)
	}
	return r
}

// typed gives a key attribute the type that it has unless it names one.
func typed(a runfile.KeyAttribute) runfile.KeyAttribute {
	a.Type = cmp.Or(a.Type, "S")
	return a
}

// Family gives a family's index in Families.
func (r *Run) Family(id string) (int32, bool) {
	i, ok := r.byID[id]
	return i, ok
}

func (r *Run) compileRequest(consistent bool) {
	for _, table := range r.Tables {
		r.prefixes = append(r.prefixes, fmt.Appendf(nil, `{"RequestItems":{%s:{"Keys":[`, quote(table)))
	}
	r.suffix = fmt.Appendf(nil, `],"ConsistentRead":%t}},"ReturnConsumedCapacity":"TOTAL"}`, consistent)
}

// quote gives a text as a JSON string.
func quote(s string) []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("plan: a string that is no JSON: %v", err)) // json.Marshal takes every string
	}
	return data
}
