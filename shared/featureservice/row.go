package featureservice

import (
	"bytes"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// addRow adds the features of a cell to a block as a row. A cell that cannot be a row
// gets an error, and leaves the block as it was.
func (a *answer) addRow(c *cell, block *packed.Block, sample uint32) {
	block.Begin()
	c.err = a.fill(c, block)
	if c.err == nil && block.RowBytes() > work.MaxCellBytes {
		c.err = failure.Permanent(failure.TooLarge, "the cell is larger than %d KB", work.MaxCellBytes>>10)
	}
	if c.err != nil {
		block.Discard()
		return
	}
	block.End(sample)
	a.names.end(a.book, c.family)
}

// fill writes the features into the open row.
func (a *answer) fill(c *cell, block *packed.Block) error {
	s := &a.scanner
	s.Reset(c.features)
	a.names.begin(a.book, c.family)
	s.Object()
	for name, more := s.Next(); more; name, more = s.Next() {
		if a.names.repeated(name) {
			return bad("the answer names feature %q twice", clean(string(name), excerptBytes))
		}
		if err := a.value(name, block); err != nil {
			return err
		}
	}
	if err := s.End(); err != nil { // such as a number that float64 cannot hold
		return bad("the answer's features of the family: %v", err)
	}
	return nil
}

// value writes one feature. The scanner keeps its own errors.
func (a *answer) value(name []byte, block *packed.Block) error {
	s := &a.scanner
	switch s.Kind() {
	case jsonscan.KindNumber:
		if n, err := s.Number(); err == nil && n.IsInt {
			block.Int64(name, n.Int)
		} else {
			block.Double(name, n.Float)
		}
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
