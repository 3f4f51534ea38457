// Package answer reads the answers of BatchGetItem from their bytes straight into packed
// columns.
//
// # Values
//
// N that is an integer literal within int64 becomes an integer, every other N a double.
// S becomes a string, BOOL a bool, NULL a null. What else there is becomes JSON text
// without DynamoDB's type tags:
//
//	B           a string in base64, standard alphabet with padding
//	SS, BS, NS  an array of strings, of base64 strings, of numbers, in the answer's order
//	L           an array
//	M           an object, in the answer's order
//	N           a number, digit by digit as DynamoDB gives it
//
// In the layout json:NAME, where the features are JSON already, an array or object
// becomes its text without white space. Bare NaN and infinities are read as doubles
// there, since Python writes them.
//
// # Items
//
// Key attributes, the ttl attribute and excluded attributes are no features; excluded
// names are left out of map:NAME and json:NAME too. An item that has nothing else is a
// row of nulls. An item past its ttl counts as missing. An item that cannot be decoded, or
// that has a feature twice, is bad, which is a failure of its own and never a miss.
package answer

import (
	"errors"
	"fmt"
	"time"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Emit lends fn a builder. fn never fails; Emit gives its own error.
type Emit func(fn func(*packed.Builder) error) error

// Bad is a key whose item cannot be used.
type Bad struct {
	Key  int32 // index in Plan.Keys
	Code failure.Code
	Err  error
}

// Result is what one answer holds beside cells.
type Result struct {
	Units       float64 // read capacity consumed
	Unprocessed []int32 // keys to be asked for again, indexes in Plan.Keys
	Bad         []Bad
	Settled     int // keys that were found, missing, or bad
}

// slot says what is known of a key of the call.
type slot uint8

const (
	settled     slot = iota // not asked for in this answer's request
	asked                   // no word of it yet
	answered                // an item was read
	expired                 // its item is past its ttl
	unprocessed             // named in UnprocessedKeys
)

// Scanner reads answers. It is reused for the answers of one run, and is not safe for
// concurrent use.
type Scanner struct {
	layout *Layout
	now    float64 // epoch seconds

	plan   *plan.Plan
	call   *plan.Call
	number int32  // of the call
	slots  []slot // by the call's keys
	result *Result
	read   []int32 // cells of the rows since the last Emit

	json  jsonscan.Scanner
	inner jsonscan.Scanner // over the text of json:NAME
	item  item
	id    []byte // scratch: a key's id
	text  []byte // scratch: a string without its escapes
	value []byte // scratch: a value as JSON text
}

// NewScanner gives a scanner for items of a layout.
func NewScanner(l *Layout) *Scanner { return &Scanner{layout: l} }

// Scan reads the answer to a request for keys of a call (both are indexes in p). Cells that were handed to emit
// are marked as hits, those of bad items as failed. When it returns no error, those of
// keys that the answer neither holds nor names as unprocessed are marked as missed, and
// result is complete. After an error what is still pending was not answered; result
// holds what was read until then.
func (s *Scanner) Scan(body []byte, p *plan.Plan, call int32, keys []int32, now time.Time, emit Emit, result *Result) error {
	*result = Result{}
	s.plan, s.call, s.number, s.result = p, &p.Calls[call], call, result
	s.now = float64(now.UnixMilli()) / 1000
	s.slots = append(s.slots[:0], make([]slot, len(s.call.Keys))...)
	for _, key := range keys {
		s.slots[p.Keys[key].Slot] = asked
	}
	s.json.Reset(body)
	err := s.body(emit)
	s.plan, s.call, s.result = nil, nil, nil // a pooled scanner keeps no block alive
	s.json.Reset(nil)
	s.inner.Reset(nil)
	if err != nil {
		return fmt.Errorf("answer of BatchGetItem: %w", err)
	}
	return nil
}

// body reads the answer's members.
func (s *Scanner) body(emit Emit) error {
	j := &s.json
	responses := false
	j.Object()
	for name, more := j.Next(); more; name, more = j.Next() {
		var err error
		switch string(name) {
		case "Responses":
			responses = true
			err = s.responses(emit)
		case "UnprocessedKeys":
			err = s.unprocessedKeys()
		case "ConsumedCapacity":
			s.consumedCapacity()
		default:
			_, err = j.Skip()
		}
		if err != nil {
			return err
		}
	}
	if err := j.End(); err != nil {
		return err
	}
	if !responses {
		return errors.New("it has no member Responses")
	}
	s.settle()
	return nil
}

// settle marks as missed what the answer does not mention.
func (s *Scanner) settle() {
	for i, state := range s.slots {
		if state == asked || state == expired {
			s.markKey(s.call.Keys[i], plan.Missed)
			s.result.Settled++
		}
	}
}

// markKey changes the state of a key's pending cells.
func (s *Scanner) markKey(key int32, state plan.State) {
	for c := s.plan.Keys[key].First; c >= 0; c = s.plan.Cells[c].Next {
		if s.plan.Cells[c].State == plan.Pending {
			s.plan.Cells[c].State = state
		}
	}
}

// responses reads the items by table.
func (s *Scanner) responses(emit Emit) error {
	j := &s.json
	j.Object()
	for _, more := j.Next(); more; _, more = j.Next() {
		j.Array()
		for more := true; more; {
			if err := s.emit(emit, &more); err != nil {
				return err
			}
		}
	}
	return j.Err()
}

// emit reads items into one lent builder. What was read before an error is handed on:
// it is no worse for what follows it.
func (s *Scanner) emit(emit Emit, more *bool) error {
	var scanErr error
	s.read = s.read[:0]
	if err := emit(func(b *packed.Builder) error {
		*more, scanErr = s.items(b)
		return nil
	}); err != nil {
		return err
	}
	for _, c := range s.read {
		s.plan.Cells[c].State = plan.Hit
	}
	return scanErr
}

// items reads items until the builder is full; it is false at the end of the array.
func (s *Scanner) items(b *packed.Builder) (more bool, err error) {
	j := &s.json
	var block *packed.Block
	if s.call.Family >= 0 {
		block = b.NewBlock(s.plan.Run.Families[s.call.Family].ID)
		defer func() {
			if block.Rows() == 0 {
				b.DropLast()
			}
		}()
	}
	for {
		mark := *j
		if !j.Element() {
			return false, j.Err()
		}
		full := false
		if block != nil {
			full, err = s.itemOfFamily(b, block)
		} else {
			full, err = s.itemOfAnyFamily(b)
		}
		if full || err != nil {
			*j = mark // the item is read again, into the next builder
			return err == nil, err
		}
	}
}

// itemOfFamily reads an item into a block of the only family of the call. One pass is
// enough, because the block is known before the key.
func (s *Scanner) itemOfFamily(b *packed.Builder, block *packed.Block) (full bool, err error) {
	bad, err := s.readRow(block, s.json)
	if err != nil {
		return false, err
	}
	key, err := s.match()
	if err != nil {
		block.Discard()
		return false, err
	}
	if bad == nil && !s.item.expired {
		if full, bad = s.closeRow(b, block, key, s.call.Family); full {
			return true, nil
		}
	}
	s.answer(key, bad)
	return false, nil
}

// itemOfAnyFamily finds an item's key first, and then reads the item for each family
// that has it; there is hardly ever more than one.
func (s *Scanner) itemOfAnyFamily(b *packed.Builder) (full bool, err error) {
	mark := s.json
	if err := s.findKey(); err != nil {
		return false, err
	}
	key, err := s.match()
	if err != nil {
		return false, err
	}
	var bad error
	for c := s.plan.Keys[key].First; c >= 0 && bad == nil; c = s.plan.Cells[c].Next {
		cell := &s.plan.Cells[c]
		if cell.State != plan.Pending || !s.firstOfFamily(key, c) {
			continue
		}
		block := b.Block(s.plan.Run.Families[cell.Family].ID)
		if bad, err = s.readRow(block, mark); err != nil {
			return false, err
		}
		if bad == nil && !s.item.expired {
			if full, bad = s.closeRow(b, block, key, cell.Family); full {
				return true, nil
			}
		}
	}
	s.answer(key, bad)
	return false, nil
}

// readRow reads the item that begins at mark into a new row, which stays open if the
// item is good and not past its ttl. err says that the text is no JSON.
func (s *Scanner) readRow(block *packed.Block, mark jsonscan.Scanner) (bad, err error) {
	s.json = mark
	block.Begin()
	if bad = s.readItem(block); bad != nil {
		err = s.readKeys(mark)
	}
	if bad != nil || s.item.expired {
		block.Discard()
	}
	return bad, err
}

// firstOfFamily says whether no pending cell of the key before c has c's family.
func (s *Scanner) firstOfFamily(key, c int32) bool {
	cells := s.plan.Cells
	for d := s.plan.Keys[key].First; d != c; d = cells[d].Next {
		if cells[d].Family == cells[c].Family && cells[d].State == plan.Pending {
			return false
		}
	}
	return true
}
