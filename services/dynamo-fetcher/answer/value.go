package answer

import (
	"errors"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// maxNesting bounds lists and maps within a value. DynamoDB allows 32 levels.
const maxNesting = 64

// readValue reads an attribute value, {"N":"1"}, into the open row.
func (s *Scanner) readValue(row *packed.Block, name []byte) error {
	j := &s.json
	if n, ok := j.TaggedNumber('N'); ok {
		addNumber(row, name, n)
		return nil
	}
	j.Object()
	tag, more := j.Next()
	if !more {
		return noValue(j)
	}
	if err := s.readTagged(row, name, tag); err != nil {
		return err
	}
	return endValue(j)
}

// noValue is the error of an attribute value that has no type tag.
func noValue(j *jsonscan.Scanner) error {
	if err := j.Err(); err != nil {
		return err
	}
	return errors.New("it has no value")
}

// endValue checks that the attribute value has one type tag only.
func endValue(j *jsonscan.Scanner) error {
	if _, more := j.Next(); more {
		return errors.New("it has more than one value")
	}
	return j.Err()
}

func (s *Scanner) readTagged(row *packed.Block, name, tag []byte) error {
	j := &s.json
	if len(tag) == 1 {
		switch tag[0] {
		case 'N':
			return s.readNumber(row, name)
		case 'S':
			text, err := readString(j, &s.text)
			if err == nil {
				row.String(name, text)
			}
			return err
		}
	}
	switch string(tag) {
	case "BOOL":
		v, err := j.Bool()
		if err == nil {
			row.Bool(name, v)
		}
		return err
	case "NULL":
		_, err := j.Bool()
		if err == nil {
			row.Null(name)
		}
		return err
	}
	var err error
	if s.value, err = s.appendTagged(s.value[:0], tag, 0); err != nil {
		return err
	}
	row.JSON(name, s.value)
	return nil
}

func (s *Scanner) readNumber(row *packed.Block, name []byte) error {
	literal, err := s.json.String(s.text)
	if err != nil {
		return err
	}
	n, ok := jsonscan.ParseNumber(literal)
	if !ok {
		return fmt.Errorf("%q is no number", literal)
	}
	addNumber(row, name, n)
	return nil
}

// addGuessed is addNumber for the feature that the row guesses; it is false if that takes the
// longer way.
func addGuessed(row *packed.Block, n jsonscan.Number) bool {
	if n.IsInt {
		return row.GuessedInt64(n.Int)
	}
	return row.GuessedDouble(n.Float)
}

func addNumber(row *packed.Block, name []byte, n jsonscan.Number) {
	if n.IsInt {
		row.Int64(name, n.Int)
	} else {
		row.Double(name, n.Float)
	}
}

// readString reads a string, into scratch if it has escapes.
func readString(j *jsonscan.Scanner, scratch *[]byte) ([]byte, error) {
	text, err := j.String(*scratch)
	if len(text) > cap(*scratch) { // the next one of this size fits
		*scratch = make([]byte, 0, 2*len(text))
	}
	return text, err
}

// readMap reads the features from an attribute of type M.
func (s *Scanner) readMap(row *packed.Block) error {
	j := &s.json
	j.Object()
	tag, more := j.Next()
	switch {
	case !more:
		return noValue(j)
	case string(tag) != "M":
		return fmt.Errorf("its type is %s; the layout is map:%s", tag, s.layout.attribute)
	}
	j.Object()
	for name, more := j.NextLike(s.readNumbers(row)); more; name, more = j.NextLike(s.readNumbers(row)) {
		if s.layout.isExcluded(name) {
			_, _ = j.Skip() // Err has it
			continue
		}
		if err := s.readValue(row, name); err != nil {
			return fmt.Errorf("entry %q: %w", name, err)
		}
	}
	if err := j.Err(); err != nil {
		return err
	}
	return endValue(j)
}

// readJSON reads the features from an attribute of type S that holds a JSON object.
func (s *Scanner) readJSON(row *packed.Block) error {
	j := &s.json
	j.Object()
	tag, more := j.Next()
	switch {
	case !more:
		return noValue(j)
	case string(tag) != "S":
		return fmt.Errorf("its type is %s; the layout is json:%s", tag, s.layout.attribute)
	}
	text, err := readString(j, &s.text)
	if err != nil {
		return err
	}
	if err := s.readObject(row, text); err != nil {
		return err
	}
	return endValue(j)
}

func (s *Scanner) readObject(row *packed.Block, text []byte) error {
	in := &s.inner
	in.AllowNaN = true
	in.Reset(text)
	in.Object()
	for name, more := nextPlain(in, row); more; name, more = nextPlain(in, row) {
		if s.layout.isExcluded(name) {
			_, _ = in.Skip() // End has it
			continue
		}
		if err := s.readPlain(row, name); err != nil {
			return fmt.Errorf("entry %q: %w", name, err)
		}
	}
	return in.End()
}

// nextPlain reads members for as long as they are the numbers that the row guesses. It gives
// the name of the next member, of which the value is to be read.
func nextPlain(in *jsonscan.Scanner, row *packed.Block) (name []byte, more bool) {
	for {
		guess := row.Guess()
		n, ok := in.NumberMember(guess)
		if !ok {
			return in.NextLike(guess)
		}
		if !addGuessed(row, n) {
			addNumber(row, guess, n)
		}
	}
}

// readPlain reads a value of plain JSON, without type tags.
func (s *Scanner) readPlain(row *packed.Block, name []byte) error {
	in := &s.inner
	switch in.Kind() {
	case jsonscan.KindNumber:
		n, err := in.Number()
		if err != nil {
			return err
		}
		addNumber(row, name, n)
		return nil
	case jsonscan.KindString:
		text, err := readString(in, &s.value)
		if err != nil {
			return err
		}
		row.String(name, text)
		return nil
	case jsonscan.KindBool:
		v, err := in.Bool()
		if err != nil {
			return err
		}
		row.Bool(name, v)
		return nil
	case jsonscan.KindNull:
		row.Null(name)
		return in.Null()
	}
	span, err := in.Skip()
	if err != nil {
		return err
	}
	s.value = jsonscan.AppendCompact(s.value[:0], span)
	row.JSON(name, s.value)
	return nil
}
