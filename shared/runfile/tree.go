package runfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on what the YAML parser is given: its time grows with the square of the
// nesting and of the items that have no value, and aliases can stand for far more than
// their bytes.
const (
	maxDepth      = 64
	maxItems      = 60_000  // commas and dashes
	maxIndicators = 1_000   // anchors, tags and explicit keys
	maxNodes      = 200_000 // values, those behind aliases counted each time
)

type kind uint8

const (
	kindNull kind = iota
	kindText
	kindInt
	kindFloat
	kindBool
	kindList
	kindMapping
)

// node is a value of a run file and its place.
type node struct {
	kind    kind
	text    string // a scalar as text
	plain   bool   // text without quotes
	integer int64  // with kindInt
	float   float64
	truth   bool
	items   []*node
	members []member
	line    int
	column  int
}

type member struct {
	key   string
	place *node // of the key
	value *node
}

// readTree parses YAML into nodes. Anchors are resolved; tags and merge keys are
// refused.
func readTree(name string, data []byte) (*node, error) {
	fail := func(line, column int, format string, args ...any) error {
		return &Error{File: name, Line: line, Column: column, Msg: fmt.Sprintf(format, args...)}
	}
	if len(data) > MaxBytes {
		return nil, fail(0, 0, "the run file has %d bytes; the most is %d", len(data), MaxBytes)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if line, column, bad := invalidUTF8(data); bad {
		return nil, fail(line, column, "the run file is not UTF-8 here; save it as UTF-8")
	}
	if line, msg := excessive(data); msg != "" {
		return nil, fail(line, 1, "%s", msg)
	}
	file, err := parseYAML(data)
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			n := placed(doc.Body)
			return nil, fail(n.line, n.column, "a second YAML document begins here; a run file holds one")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, fail(1, 1, "the run file is empty; it needs run and families at least")
	}
	t := &treeReader{anchors: map[string]ast.Node{}}
	root := t.read(body, 0)
	if t.err != nil {
		return nil, fail(t.at.line, t.at.column, "%v", t.err)
	}
	return root, nil
}

// parseYAML guards against the parser's panics, of which every release of it fixed
// some.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this is no YAML that can be read (%v)", r)
		}
	}()
	return parser.ParseBytes(data, 0)
}

func syntaxError(name string, data []byte, err error) *Error {
	y, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return &Error{File: name, Msg: "no valid YAML: " + err.Error()}
	}
	e := &Error{File: name, Msg: "no valid YAML: " + y.GetMessage()} // its Error prints the source, slowly
	if tk := y.GetToken(); tk != nil && tk.Position != nil {
		e.Line, e.Column = tk.Position.Line, tk.Position.Column
	}
	if lines := strings.Split(string(data), "\n"); e.Line >= 1 && e.Line <= len(lines) && strings.Contains(lines[e.Line-1], "${") {
		e.Msg += "; inside { } a value with ${…} needs quotes: \"${NAME}\""
	}
	return e
}

func invalidUTF8(data []byte) (line, column int, bad bool) {
	if utf8.Valid(data) {
		return 0, 0, false
	}
	line = 1
	for l := range bytes.Lines(data) {
		if !utf8.Valid(l) {
			for column = 1; ; column++ {
				r, size := utf8.DecodeRune(l)
				if r == utf8.RuneError && size == 1 {
					return line, column, true
				}
				l = l[size:]
			}
		}
		line++
	}
	return line, 1, true
}

// excessive finds what no run file needs and the parser should not see. It knows no
// quotes, so it errs on the side of refusing absurd text.
func excessive(data []byte) (line int, msg string) {
	depth, indicators, items := 0, 0, 0
	for l := range bytes.Lines(data) {
		line++
		dashes := 0
		for i, c := range l {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			case '-':
				if i+1 == len(l) || l[i+1] <= ' ' {
					dashes++
				}
			case ',':
				items++
			case '&', '!', '?', '*':
				indicators++
			}
		}
		items += dashes
		switch {
		case depth > maxDepth || dashes > maxDepth:
			return line, "the run file is nested too deeply; no setting needs more than six levels"
		case indicators > maxIndicators:
			return line, fmt.Sprintf("the run file has more than %d of the signs & ! ? *; it needs none", maxIndicators)
		case items > maxItems:
			return line, fmt.Sprintf("the run file has more than %d items; declare fewer features", maxItems)
		}
	}
	return 0, ""
}

// treeReader turns the parser's nodes into ours.
type treeReader struct {
	anchors map[string]ast.Node
	nodes   int
	err     error // the first
	at      *node // its place
}

func (t *treeReader) fail(at *node, format string, args ...any) *node {
	if t.err == nil {
		t.err, t.at = fmt.Errorf(format, args...), at
	}
	return at
}

func placed(n ast.Node) *node {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // its own token is a colon
	}
	at := &node{line: 1, column: 1}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		at.line, at.column = tk.Position.Line, tk.Position.Column
	}
	return at
}

func (t *treeReader) read(from ast.Node, depth int) *node {
	if from == nil {
		return &node{line: 1, column: 1}
	}
	n := placed(from)
	if t.nodes++; t.nodes > maxNodes || depth > maxDepth {
		return t.fail(n, "the run file holds too much here: more than %d values, or %d levels", maxNodes, maxDepth)
	}
	switch v := from.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		n.kind, n.text = kindText, v.Value
		n.plain = v.Token.Type == token.StringType
	case *ast.LiteralNode:
		n.kind, n.text = kindText, v.Value.Value
	case *ast.IntegerNode:
		t.readInteger(n, v)
	case *ast.FloatNode:
		n.kind, n.text, n.float = kindFloat, v.Token.Value, v.Value
	case *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text, n.plain = kindText, from.GetToken().Value, true
	case *ast.BoolNode:
		n.kind, n.text, n.truth = kindBool, v.Token.Value, v.Value
	case *ast.SequenceNode:
		n.kind = kindList
		for _, item := range v.Values {
			n.items = append(n.items, t.read(item, depth+1))
		}
	case *ast.MappingNode:
		n.kind = kindMapping
		lines := make(map[string]int, len(v.Values))
		for _, value := range v.Values {
			t.readMember(n, value, lines, depth)
		}
	case *ast.AnchorNode:
		if _, ok := t.anchors[v.Name.String()]; !ok {
			t.anchors[v.Name.String()] = v.Value
		}
		return t.read(v.Value, depth+1)
	case *ast.AliasNode:
		target, ok := t.anchors[v.Value.String()]
		if !ok {
			return t.fail(n, "*%s names no anchor; write &%s before the value that it stands for", v.Value, v.Value)
		}
		return t.read(target, depth+1)
	case *ast.TagNode:
		return t.fail(n, "YAML tags such as %s are not used in run files; leave it out", v.Start.Value)
	default:
		return t.fail(n, "this kind of YAML (%s) is not used in run files", from.Type())
	}
	return n
}

func (t *treeReader) readInteger(n *node, v *ast.IntegerNode) {
	n.kind, n.text = kindInt, v.Token.Value
	switch i := v.Value.(type) {
	case int64:
		n.integer = i
	case uint64:
		if i > 1<<63-1 { // out of every range that a setting has
			n.kind, n.plain = kindText, true
			return
		}
		n.integer = int64(i)
	}
	n.float = float64(n.integer)
}

// readMember adds a member to a mapping; lines tells where its keys are.
func (t *treeReader) readMember(n *node, v *ast.MappingValueNode, lines map[string]int, depth int) {
	key := placed(v.Key)
	switch k := v.Key.(type) {
	case *ast.StringNode:
		key.text = k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		key.text = v.Key.GetToken().Value
	case *ast.MergeKeyNode:
		t.fail(key, "merge keys (<<) are not used in run files; write the settings out")
		return
	default:
		t.fail(key, "a key must be a plain name")
		return
	}
	if first, again := lines[key.text]; again {
		t.fail(key, "%q is given twice, first in line %d; leave one out", key.text, first)
		return
	}
	lines[key.text] = key.line
	n.members = append(n.members, member{key: key.text, place: key, value: t.read(v.Value, depth+1)})
}
