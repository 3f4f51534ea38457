package dynamodb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// Bounds of items.
const (
	maxItemBytes      = 400 << 10
	maxAttributeDepth = 32
	maxDigits         = 38
	maxExponent       = 125
	minExponent       = -130
)

// attributes is an item or a key: attribute values in their wire form by name.
type attributes map[string]json.RawMessage

// size checks all attributes and gives the item's size by DynamoDB's rule: the bytes of
// names and values.
func (a attributes) size() (int, error) {
	total := 0
	for name, raw := range a {
		n, err := attributeSize(raw, 1)
		if err != nil {
			return 0, invalid("attribute %q: %v", name, err)
		}
		total += len(name) + n
	}
	return total, nil
}

// tagged takes an attribute value apart: {"S":"x"} is S and "x".
func tagged(raw []byte) (tag string, value json.RawMessage, err error) {
	var one map[string]json.RawMessage
	if err := json.Unmarshal(raw, &one); err != nil || len(one) != 1 {
		return "", nil, invalid("Supplied AttributeValue must contain exactly one of the supported datatypes")
	}
	for tag, value = range one {
	}
	return tag, value, nil
}

// attributeSize checks an attribute value and gives its size.
func attributeSize(raw []byte, depth int) (int, error) {
	if depth > maxAttributeDepth {
		return 0, invalid("Nesting Levels have exceeded supported limits: %d", maxAttributeDepth)
	}
	tag, value, err := tagged(raw)
	if err != nil {
		return 0, err
	}
	switch tag {
	case "S", "N", "B":
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return 0, invalid("the value of %s is no string", tag)
		}
		return scalarSize(tag, text)
	case "BOOL":
		var b bool
		if err := json.Unmarshal(value, &b); err != nil {
			return 0, invalid("the value of BOOL is not true or false")
		}
		return 1, nil
	case "NULL":
		if string(value) != "true" {
			return 0, invalid("Null attribute value types must have the value of true")
		}
		return 1, nil
	case "SS", "NS", "BS":
		return setSize(tag[:1], value)
	case "L":
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil || list == nil {
			return 0, invalid("the value of L is no array")
		}
		return elementsSize(list, depth)
	case "M":
		return mapSize(value, depth)
	default:
		return 0, invalid("Supplied AttributeValue is empty, or has the unknown datatype %q", tag)
	}
}

func scalarSize(tag, text string) (int, error) {
	switch tag {
	case "N":
		if _, ok := appendCanonicalNumber(nil, text); !ok {
			return 0, invalid("The parameter cannot be converted to a numeric value: %s", text)
		}
		return len(text)/2 + 1, nil
	case "B":
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return 0, invalid("the value of B is no base64: %v", err)
		}
		return len(data), nil
	default:
		return len(text), nil
	}
}

func setSize(tag string, value []byte) (int, error) {
	var list []string
	if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 {
		return 0, invalid("An %sS may not be empty, and holds strings", tag)
	}
	seen := map[string]bool{}
	total := 0
	for _, text := range list {
		n, err := scalarSize(tag, text)
		if err != nil {
			return 0, err
		}
		if tag == "N" {
			canonical, _ := appendCanonicalNumber(nil, text)
			text = string(canonical)
		}
		if seen[text] {
			return 0, invalid("Input collection contains duplicates")
		}
		seen[text] = true
		total += n
	}
	return total, nil
}

func elementsSize(list []json.RawMessage, depth int) (int, error) {
	total := 3
	for _, raw := range list {
		n, err := attributeSize(raw, depth+1)
		if err != nil {
			return 0, err
		}
		total += n + 1
	}
	return total, nil
}

func mapSize(value []byte, depth int) (int, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil || members == nil {
		return 0, invalid("the value of M is no object")
	}
	total := 3
	for name, raw := range members {
		n, err := attributeSize(raw, depth+1)
		if err != nil {
			return 0, err
		}
		total += len(name) + n + 1
	}
	return total, nil
}

// plainDigits is how long a canonical integer may be before it gets an exponent.
const (
	plainDigits = 20
	zeros       = "00000000000000000000"
)

// appendCanonicalNumber writes a number so that equal numbers look equal: 12.50 and
// 1.25e1 become 125e-1, 7.0 becomes 7. It fails for what DynamoDB does not take for a
// number.
func appendCanonicalNumber[T string | []byte](dst []byte, text T) ([]byte, bool) {
	i, negative := 0, len(text) > 0 && text[0] == '-'
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		i++
	}
	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	first := len(dst)
	exponent, digits, point := 0, 0, false
	for ; i < len(text) && (text[i] >= '0' && text[i] <= '9' || text[i] == '.' && !point); i++ {
		if text[i] == '.' {
			point = true
			continue
		}
		digits++
		if point {
			exponent--
		}
		if text[i] != '0' || len(dst) > first { // leading zeros say nothing
			dst = append(dst, text[i])
		}
	}
	if digits == 0 || i < len(text) && text[i] != 'e' && text[i] != 'E' {
		return dst[:start], false
	}
	if i < len(text) {
		e, err := strconv.Atoi(string(text[i+1:]))
		if err != nil || e > 1000 || e < -1000 {
			return dst[:start], false
		}
		exponent += e
	}
	significant := bytes.TrimRight(dst[first:], "0")
	exponent += len(dst) - first - len(significant)
	if len(significant) == 0 {
		return append(dst[:start], '0'), true
	}
	magnitude := exponent + len(significant) - 1
	if len(significant) > maxDigits || magnitude > maxExponent || magnitude < minExponent {
		return dst[:start], false
	}
	if dst = dst[:first+len(significant)]; exponent >= 0 && len(significant)+exponent <= plainDigits {
		return append(dst, zeros[:exponent]...), true
	}
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(exponent), 10), true
}
