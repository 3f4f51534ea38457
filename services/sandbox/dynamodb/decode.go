package dynamodb

import (
	"net/http"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// decodeBatchGet reads a BatchGetItem. By hand, because it is the one request that
// benchmarks send all the time. Projections are refused as unknown.
func decodeBatchGet(body []byte) (*batchGet, error) {
	g := &batchGet{}
	s := jsonscan.New(body)
	s.Object()
	for field, more := s.Next(); more; field, more = s.Next() {
		var err error
		switch string(field) {
		case "RequestItems":
			err = g.decodeTables(&s)
		case "ReturnConsumedCapacity":
			var text []byte
			if text, err = s.String(nil); err == nil {
				g.consumed, err = asked(string(text))
			}
		default:
			err = unknownParameter(string(field))
		}
		if err != nil {
			return nil, serialization(err)
		}
	}
	if err := s.End(); err != nil {
		return nil, serialization(err)
	}
	return g, nil
}

// serialization makes a refusal of an error of the scanner.
func serialization(err error) error {
	if e, ok := err.(*jsonscan.SyntaxError); ok {
		return errorf(http.StatusBadRequest, "SerializationException", "%v", e)
	}
	return err
}

func unknownParameter(name string) *Error {
	return invalid("the sandbox's DynamoDB does not know the parameter %q", name)
}

func (g *batchGet) decodeTables(s *jsonscan.Scanner) error {
	s.Object()
	for name, more := s.Next(); more; name, more = s.Next() {
		for i := range g.tables {
			if g.tables[i].name == string(name) {
				return invalid("RequestItems names table %s twice", name)
			}
		}
		g.tables = append(g.tables, tableGet{name: string(name)})
		if err := g.tables[len(g.tables)-1].decode(s); err != nil {
			return err
		}
	}
	return s.Err()
}

func (t *tableGet) decode(s *jsonscan.Scanner) error {
	s.Object()
	for field, more := s.Next(); more; field, more = s.Next() {
		var err error
		switch string(field) {
		case "Keys":
			err = t.decodeKeys(s)
		case "ConsistentRead":
			t.consistent, err = s.Bool()
		default:
			err = unknownParameter(string(field))
		}
		if err != nil {
			return err
		}
	}
	return s.Err()
}

func (t *tableGet) decodeKeys(s *jsonscan.Scanner) error {
	t.keys = make([]keyGet, 0, maxKeysPerGet)
	s.Array()
	for s.Element() {
		text, err := s.Skip()
		if err != nil {
			return err
		}
		if len(t.keys) > maxKeysPerGet { // refused for their number, whatever follows
			continue
		}
		k := keyGet{text: text}
		if err := k.decode(); err != nil {
			return err
		}
		t.keys = append(t.keys, k)
	}
	return s.Err()
}

// decode reads the attributes of the key's text.
func (k *keyGet) decode() error {
	s := jsonscan.New(k.text)
	s.Object()
	for name, more := s.Next(); more; name, more = s.Next() {
		if k.count == len(k.attributes) {
			return invalid("The provided key element does not match the schema")
		}
		a := &k.attributes[k.count]
		k.count++
		a.name = name
		s.Object()
		tag, ok := s.Next()
		if a.typ = tag; !ok {
			if err := s.Err(); err != nil {
				return err
			}
			return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
		}
		var err error
		if a.value, err = s.String(nil); err != nil {
			return err
		}
		if _, more := s.Next(); more {
			return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
	}
	return s.Err()
}
