package answer

import (
	"errors"
	"fmt"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// item is what an item says beside its features.
type item struct {
	partition, sort       []byte // as in plan.Key
	hasPartition, hasSort bool
	expired               bool

	partitionText, sortText []byte // scratch: values that had to be written anew
}

func (it *item) reset() {
	*it = item{partitionText: it.partitionText[:0], sortText: it.sortText[:0]}
}

// readItem reads an item's features into the open row, and its key and ttl beside them.
// An error says why the item cannot be decoded; the text itself may still be good.
func (s *Scanner) readItem(row *packed.Block) (err error) {
	s.item.reset()
	if s.layout.kind == runfile.LayoutMap || s.layout.kind == runfile.LayoutJSON {
		err = s.readContained(row)
	} else {
		err = s.readAttributes(row)
	}
	if err == nil && row.Repeated() {
		return errors.New("it has a feature twice")
	}
	return err
}

// readAttributes reads an item whose attributes are its features. A name that the row
// guessed is a feature; of every other it has to be found out.
func (s *Scanner) readAttributes(row *packed.Block) error {
	j := &s.json
	j.Object()
	for {
		guess := s.readNumbers(row)
		name, more := j.NextLike(guess)
		if !more {
			return j.Err()
		}
		var err error
		if isGuess(name, guess) {
			err = s.readValue(row, name)
		} else if role := s.layout.roleOf(name); role == feature {
			err = s.readValue(row, name)
		} else {
			err = s.readRole(role)
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
}

// readNumbers reads members for as long as they are the numbers that the row guesses, which
// is nearly always and therefore takes the shortest way. It gives the guess that was wrong.
func (s *Scanner) readNumbers(row *packed.Block) (guess []byte) {
	j := &s.json
	for {
		guess = row.Guess()
		n, ok := j.TaggedMember(guess, 'N')
		if !ok {
			return guess
		}
		if !addGuessed(row, n) {
			addNumber(row, guess, n)
		}
	}
}

// isGuess says whether a name is the guess itself.
func isGuess(name, guess []byte) bool {
	return len(name) > 0 && len(guess) > 0 && &name[0] == &guess[0]
}

// readContained reads an item one of whose attributes holds the features.
func (s *Scanner) readContained(row *packed.Block) error {
	j, l := &s.json, s.layout
	hasContainer, hasOther := false, false
	j.Object()
	for name, more := j.Next(); more; name, more = j.Next() {
		var err error
		switch role := l.roleOf(name); role {
		case container:
			hasContainer = true
			err = s.readContainer(row)
		case other:
			hasOther = true
			_, err = j.Skip()
		default:
			err = s.readRole(role)
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	if err := j.Err(); err != nil {
		return err
	}
	if hasOther && !hasContainer {
		return fmt.Errorf("it has no attribute %q, which is to hold the features", l.attribute)
	}
	return nil
}

// readKeys reads the key and the ttl of the item that begins at mark, and steps over
// everything else. An error says that the text is no JSON.
func (s *Scanner) readKeys(mark jsonscan.Scanner) error {
	s.json = mark
	j := &s.json
	s.item.reset()
	j.Object()
	for name, more := j.Next(); more; name, more = j.Next() {
		if err := s.readRole(s.layout.roleOf(name)); err != nil {
			return err
		}
	}
	return j.Err()
}

// findKey reads the item until its key is known. Where the scanner stands then does not
// matter: the item is read again.
func (s *Scanner) findKey() error {
	j, it := &s.json, &s.item
	it.reset()
	j.Object()
	for !it.hasPartition || !it.hasSort && s.layout.sort != "" {
		name, more := j.Next()
		if !more {
			break
		}
		if err := s.readRole(s.layout.roleOf(name)); err != nil {
			return err
		}
	}
	return j.Err()
}

// readRole reads an attribute that is no feature, and steps over every other. An error
// says that the text is no JSON.
func (s *Scanner) readRole(r role) error {
	it := &s.item
	switch r {
	case partitionKey:
		it.partition, it.hasPartition = s.readKey(&it.partitionText, s.layout.numbers[partitionIsNumber])
	case sortKey:
		it.sort, it.hasSort = s.readKey(&it.sortText, s.layout.numbers[sortIsNumber])
	case expiry:
		s.readExpiry()
	default:
		_, _ = s.json.Skip()
	}
	return s.json.Err()
}

// readKey reads the value of a key attribute, as plan.Key has it. It is false if there
// is none of the right type.
func (s *Scanner) readKey(scratch *[]byte, number bool) (value []byte, ok bool) {
	j := &s.json
	want := "S"
	if number {
		want = "N"
	}
	j.Object()
	for tag, more := j.Next(); more; tag, more = j.Next() {
		if string(tag) != want || j.Kind() != jsonscan.KindString {
			_, _ = j.Skip()
			continue
		}
		text, err := j.String(*scratch)
		value, ok = text, err == nil
		if number {
			value, ok = plan.AppendNumber((*scratch)[:0], text)
			*scratch = value
		}
	}
	return value, ok
}

// readExpiry sees whether the item is past its ttl. DynamoDB expires nothing by an
// attribute that is no number, and nor do we.
func (s *Scanner) readExpiry() {
	j := &s.json
	j.Object()
	for tag, more := j.Next(); more; tag, more = j.Next() {
		if string(tag) != "N" || j.Kind() != jsonscan.KindString {
			_, _ = j.Skip()
			continue
		}
		text, _ := j.String(s.text)
		if n, ok := jsonscan.ParseNumber(text); ok {
			s.item.expired = asDouble(n) < s.now
		}
	}
}

func asDouble(n jsonscan.Number) float64 {
	if n.IsInt {
		return float64(n.Int)
	}
	return n.Float
}

// readContainer reads the attribute that holds the features.
func (s *Scanner) readContainer(row *packed.Block) error {
	if s.layout.kind == runfile.LayoutMap {
		return s.readMap(row)
	}
	return s.readJSON(row)
}
