package featureservice

import (
	"bytes"
	"errors"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// readFeatures reads what stands next in the body, the features of a cell, into a row of
// the cell's block, and gives its span. The row is left open if it is good. What is wrong
// with any other is found when it is closed, from its span alone.
func (a *answer) readFeatures(c *cell, b *packed.Builder) []byte {
	s := &a.scanner
	if s.Kind() == jsonscan.KindObject {
		before, start, block := *s, s.Offset(), b.Block(c.family)
		if a.fill(s, block) == nil {
			c.row = block
			return a.body[start:s.Offset():s.Offset()]
		}
		block.Discard()
		*s = before
	}
	span, _ := s.Skip() // its error stays, and ends the loops over the body
	return span
}

// errNoRows says that an answer has no row for the message that it was lent.
var errNoRows = errors.New("the answer has no more rows")

// closeRows closes the rows for a sample. It leaves those that come when as much is gathered
// as is published at a time to the next one, so that memory stays bounded.
func (a *answer) closeRows(r *work.Request, b *packed.Builder) error {
	rows := 0
	for i := range a.cells {
		c := &a.cells[i]
		switch {
		case c.done || c.err != nil:
		case rows > 0 && b.Size() >= work.GatherPackedBytes:
			c.discard()
		case a.closeRow(c, r, b):
			rows++
		}
	}
	if rows == 0 {
		return errNoRows
	}
	return nil
}

// closeRow closes the row of a cell. One that is not open is read again. A cell that
// cannot be a row gets an error, and leaves its block as it was.
func (a *answer) closeRow(c *cell, r *work.Request, b *packed.Builder) bool {
	if c.row == nil {
		c.row = b.Block(c.family)
		a.part.AllowNaN = true
		a.part.Reset(c.features)
		c.err = a.fill(&a.part, c.row)
	}
	if c.err == nil && c.row.RowBytes() > work.MaxCellBytes {
		c.err = failure.Permanent(failure.TooLarge, "the cell is larger than %d KB", work.MaxCellBytes>>10)
	}
	if c.err != nil {
		c.discard()
		return false
	}
	c.row.End(b.Sample(r.UserID, r.EpochMS))
	c.row, c.done = nil, true
	return true
}

// fill reads the object that stands next into a new row of the block. With an error the
// row is still open.
func (a *answer) fill(s *jsonscan.Scanner, block *packed.Block) error {
	block.Begin()
	s.Object()
	for name, more := next(s, block); more; name, more = next(s, block) {
		if !block.Repeated() {
			if err := a.value(s, name, block); err != nil {
				return err
			}
		}
		if block.Repeated() {
			return bad("the answer names feature %q twice", clean(string(name), excerptBytes))
		}
	}
	if err := s.Err(); err != nil { // such as a number that float64 cannot hold
		return bad("the answer's features of the family: %v", err)
	}
	return nil
}

// next reads features for as long as they are numbers and of the names that the block
// guesses, which is nearly always and therefore takes the shortest way. It gives the name of
// the next one, of which the value is to be read, or of one that was named before.
func next(s *jsonscan.Scanner, block *packed.Block) (name []byte, more bool) {
	for {
		guess := block.Guess()
		n, ok := s.NumberMember(guess)
		if !ok {
			return s.NextLike(guess)
		}
		if guessed(block, n) {
			continue
		}
		number(block, guess, n)
		if block.Repeated() {
			return guess, true
		}
	}
}

// guessed is number for the feature that the block guesses; it is false if that takes the longer
// way, as for one that was named before.
func guessed(block *packed.Block, n jsonscan.Number) bool {
	if n.IsInt {
		return block.GuessedInt64(n.Int)
	}
	return block.GuessedDouble(n.Float)
}

func number(block *packed.Block, name []byte, n jsonscan.Number) {
	if n.IsInt {
		block.Int64(name, n.Int)
	} else {
		block.Double(name, n.Float)
	}
}

// value writes one feature. The scanner keeps its own errors.
func (a *answer) value(s *jsonscan.Scanner, name []byte, block *packed.Block) error {
	switch s.Kind() {
	case jsonscan.KindNumber:
		n, _ := s.Number()
		number(block, name, n)
	case jsonscan.KindString:
		text, _ := s.String(a.scratch)
		block.String(name, text)
	case jsonscan.KindBool:
		yes, _ := s.Bool()
		block.Bool(name, yes)
	case jsonscan.KindNull:
		s.Null()
		block.Null(name)
	default:
		span, _ := s.Skip()
		if key, ok := repeatedKey(span); ok {
			return bad("the answer repeats key %q within feature %q",
				clean(key, excerptBytes), clean(string(name), excerptBytes))
		}
		a.scratch = jsonscan.AppendCompact(a.scratch[:0], span)
		block.JSON(name, a.scratch)
	}
	return nil
}

// repeatedKey finds a key that an object within a value has twice.
func repeatedKey(value []byte) (string, bool) {
	if bytes.IndexByte(value, '{') < 0 {
		return "", false
	}
	s := jsonscan.New(value)
	s.AllowNaN = true
	return repeatedIn(&s)
}

// repeatedIn looks into the next value. The scanner bounds the depth.
func repeatedIn(s *jsonscan.Scanner) (string, bool) {
	switch s.Kind() {
	case jsonscan.KindArray:
		for s.Array(); s.Element(); {
			if key, ok := repeatedIn(s); ok {
				return key, true
			}
		}
	case jsonscan.KindObject:
		keys := make(map[string]struct{})
		s.Object()
		for key, more := s.Next(); more; key, more = s.Next() {
			if _, ok := keys[string(key)]; ok {
				return string(key), true
			}
			keys[string(key)] = struct{}{}
			if key, ok := repeatedIn(s); ok {
				return key, true
			}
		}
	default:
		s.Skip()
	}
	return "", false
}
