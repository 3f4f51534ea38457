package runfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// hashTree hashes what a run file says: JSON with sorted keys and numbers by value.
func hashTree(root *node) string {
	sum := sha256.Sum256(root.appendJSON(nil, true))
	return hex.EncodeToString(sum[:])
}

// appendJSON appends the value as JSON. With canonical, keys are sorted and numbers
// of equal value look alike.
func (n *node) appendJSON(dst []byte, canonical bool) []byte {
	switch n.kind {
	case kindText:
		return appendString(dst, n.text)
	case kindInt:
		return strconv.AppendInt(dst, n.integer, 10)
	case kindFloat:
		if i := int64(n.float); canonical && float64(i) == n.float {
			return strconv.AppendInt(dst, i, 10)
		}
		return strconv.AppendFloat(dst, n.float, 'g', -1, 64)
	case kindBool:
		return strconv.AppendBool(dst, n.truth)
	case kindList:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.appendJSON(dst, canonical)
		}
		return append(dst, ']')
	case kindMapping:
		members := n.members
		if canonical {
			members = slices.SortedFunc(slices.Values(members), func(a, b member) int { return strings.Compare(a.key, b.key) })
		}
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.key), ':')
			dst = m.value.appendJSON(dst, canonical)
		}
		return append(dst, '}')
	default:
		return append(dst, "null"...)
	}
}

func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil { // a string always has a JSON form
		return append(dst, `""`...)
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

func indentJSON(data []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil { // our own JSON
		return data
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// set puts a text at a path of keys, and makes the mappings on the way.
func (n *node) set(path []string, text string) {
	if n.kind != kindMapping {
		*n = node{kind: kindMapping, line: n.line, column: n.column}
	}
	i := slices.IndexFunc(n.members, func(m member) bool { return m.key == path[0] })
	if i < 0 {
		i = len(n.members)
		n.members = append(n.members, member{key: path[0], place: &node{}, value: &node{}})
	}
	if len(path) > 1 {
		n.members[i].value.set(path[1:], text)
		return
	}
	n.members[i].value = &node{kind: kindText, text: text}
}
