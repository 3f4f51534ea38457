package answer

import (
	"errors"
	"fmt"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// match gives the key of the item, of which nothing must be known yet.
func (s *Scanner) match() (int32, error) {
	switch l := s.layout; {
	case !s.item.hasPartition:
		return 0, fmt.Errorf("the item before byte %d has no proper key attribute %q", s.json.Offset(), l.partition)
	case !s.item.hasSort && l.sort != "":
		return 0, fmt.Errorf("the item before byte %d has no proper key attribute %q", s.json.Offset(), l.sort)
	}
	s.id = append(append(s.id[:0], s.item.partition...), s.item.sort...)
	s.id = plan.AppendID(s.id, len(s.item.partition))
	key, ok := s.plan.Find(s.call, s.id)
	if !ok || s.plan.Keys[key].Call != s.number || s.slots[s.plan.Keys[key].Slot] == settled {
		return 0, fmt.Errorf("it holds %s, which was not asked for", s.describe(s.item.partition, s.item.sort))
	}
	if s.slots[s.plan.Keys[key].Slot] != asked {
		return 0, fmt.Errorf("it answers %s twice", s.describe(s.item.partition, s.item.sort))
	}
	return key, nil
}

// describe names an item for people.
func (s *Scanner) describe(partition, sort []byte) string {
	if s.layout.sort == "" {
		return fmt.Sprintf("the item %s=%q", s.layout.partition, partition)
	}
	return fmt.Sprintf("the item %s=%q, %s=%q", s.layout.partition, partition, s.layout.sort, sort)
}

// closeRow closes the row that was read, once for each sample that it serves. It
// discards the row if the builder has no room for it beside what it holds (full), or if
// no message has (bad).
func (s *Scanner) closeRow(b *packed.Builder, block *packed.Block, key, family int32) (full bool, bad error) {
	rowBytes := block.RowBytes()
	switch {
	case rowBytes > work.MaxCellBytes:
		block.Discard()
		return false, &tooLargeError{rowBytes}
	case len(s.read) > 0 && b.Size()+rowBytes > work.MaxCellBytes:
		block.Discard()
		return true, nil
	}
	first := true
	for c := s.plan.Keys[key].First; c >= 0; c = s.plan.Cells[c].Next {
		cell := &s.plan.Cells[c]
		if cell.Family != family || cell.State != plan.Pending {
			continue
		}
		request := &s.plan.Requests[cell.Request]
		sample := b.Sample(request.UserID, request.EpochMS)
		if first {
			block.End(sample)
			first = false
		} else {
			block.Repeat(sample)
		}
		s.read = append(s.read, c)
	}
	return false, nil
}

// tooLargeError is an item of which no message can be made.
type tooLargeError struct{ bytes int }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("its features take %d bytes; a cell may have %d", e.bytes, work.MaxCellBytes)
}

// answer notes that the key's item was read, and what is wrong with it.
func (s *Scanner) answer(key int32, bad error) {
	state := &s.slots[s.plan.Keys[key].Slot]
	*state = answered
	if s.item.expired {
		*state = expired
		return
	}
	s.result.Settled++
	if bad == nil {
		return
	}
	code := failure.BadItem
	if _, ok := errors.AsType[*tooLargeError](bad); ok {
		code = failure.TooLarge
	}
	k := &s.plan.Keys[key]
	s.result.Bad = append(s.result.Bad, Bad{Key: key, Code: code, Err: fmt.Errorf("%s: %w",
		s.describe([]byte(k.Partition()), []byte(k.Sort())), bad)})
	s.markKey(key, plan.Failed)
}
