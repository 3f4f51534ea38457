package answer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

var layouts = []runfile.Layout{runfile.LayoutAttributes, runfile.LayoutMap, runfile.LayoutJSON}

// FuzzScan scans arbitrary bytes. Whatever they are, each cell ends in one state, and
// exactly the hits have a row.
func FuzzScan(f *testing.F) {
	item := "{" + key("u0", "f0") + `,"a":{"N":"1"},"b":{"L":[{"S":"x"}]},"ttl":{"N":"5"}}`
	f.Add([]byte(responses(item)), uint8(0), false)
	f.Add([]byte(responses("{"+key("u1", "f0")+`,"features":{"M":{"a":{"NS":["1"]}}}}`)), uint8(1), true)
	f.Add([]byte(responses("{"+key("u2", "f0")+`,"features":{"S":"{\"a\":[1],\"b\":NaN}"}}`)), uint8(2), false)
	f.Add([]byte(`{"UnprocessedKeys":{"t":{"Keys":[{`+key("u0", "f0")+`}]}},"Responses":{},"ConsumedCapacity":[{"CapacityUnits":1}]}`), uint8(0), true)
	f.Add([]byte(responses(item, item)), uint8(0), false)
	f.Fuzz(func(t *testing.T, body []byte, layout uint8, mixed bool) {
		families := 1
		if mixed {
			families = 2
		}
		file := runFile(t, families, layouts[int(layout)%len(layouts)])
		file.DynamoDB.TTL = "ttl"
		l := newLookUp(t, file, "u0", "u1", "u2", "u1")
		err := l.scan(string(body))
		states := l.states()
		if hits := strings.Count(states, "h"); len(l.rows()) != hits {
			t.Errorf("%d rows, states are %s", len(l.rows()), states)
		}
		if err == nil {
			pending := 0
			for _, key := range l.result.Unprocessed {
				for c := l.plan.Keys[key].First; c >= 0; c = l.plan.Cells[c].Next {
					pending++
				}
			}
			if strings.Count(states, "p") != pending {
				t.Errorf("states are %s, %d cells are unprocessed", states, pending)
			}
		} else if strings.Contains(states, "m") {
			t.Errorf("states are %s after the error %v: nothing is known to be missing", states, err)
		}
	})
}

// FuzzRoundTrip scans an answer that is made from a seed, and knows what must come out.
func FuzzRoundTrip(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		layout := layouts[g.IntN(len(layouts))]
		families := 1 + g.IntN(3)
		var users []string
		for i := range 1 + g.IntN(8) {
			users = append(users, fmt.Sprint(i, g.text()))
		}
		l := newLookUp(t, runFile(t, families, layout), users...)
		var items, unprocessed, want []string
		var states strings.Builder
		for _, cell := range l.plan.Cells {
			user, family := l.plan.Requests[cell.Request].UserID, l.plan.Run.Families[cell.Family].ID
			keyText := `"pk":{"S":` + quote(user) + `},"sk":{"S":` + quote(family) + `}`
			switch g.IntN(5) {
			case 0:
				states.WriteByte('m')
			case 1:
				states.WriteByte('p')
				unprocessed = append(unprocessed, "{"+keyText+"}")
			default:
				states.WriteByte('h')
				members, values := g.item(layout)
				items = append(items, "{"+strings.Join(slices.Insert(members, g.IntN(len(members)+1), keyText), ",")+"}")
				want = append(want, user+"/"+family+values)
			}
		}
		g.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		body := `{"Responses":{"t":[` + strings.Join(items, ",") + `]},"UnprocessedKeys":{"t":{"Keys":[` + strings.Join(unprocessed, ",") + `]}}}`
		if err := l.scan(body); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if l.states() != states.String() {
			t.Errorf("states are %s, want %s", l.states(), states.String())
		}
		got := l.texts()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("rows are\n\t%s\nwant\n\t%s\nof %s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), body)
		}
	})
}

// generator makes items and says what must be read from them.
type generator struct{ *rand.Rand }

func (g *generator) text() string {
	alphabet := []rune("ab\"\\/\n\t\x01é字😀<&{}[]:,")
	n := g.IntN(6)
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

// quote writes a JSON string.
func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// item gives an item's members beside its key, and its features with their values.
func (g *generator) item(layout runfile.Layout) (members []string, values string) {
	var features []string
	for i := range g.IntN(5) {
		name := fmt.Sprint("n", i)
		plain, tagged, want := g.value()
		if layout == runfile.LayoutJSON {
			features = append(features, quote(name)+":"+plain)
		} else {
			features = append(features, quote(name)+":"+tagged)
		}
		if want != "" {
			values += " " + name + "=" + want
		}
	}
	switch layout {
	case runfile.LayoutMap:
		return []string{`"features":{"M":{` + strings.Join(features, ",") + `}}`}, values
	case runfile.LayoutJSON:
		return []string{`"features":{"S":` + quote("{"+strings.Join(features, ",")+"}") + `}`}, values
	}
	return features, values
}

// value gives a value as plain JSON, as an attribute value, and as text, "" for null.
func (g *generator) value() (plain, tagged, text string) {
	switch g.IntN(5) {
	case 0:
		n := strconv.FormatInt(g.Int64()>>g.IntN(64)-1, 10)
		return n, `{"N":"` + n + `"}`, n
	case 1:
		v := (g.Float64() - 0.5) * 1e6
		n := strconv.FormatFloat(v, 'e', -1, 64)
		return n, `{"N":"` + n + `"}`, string(packed.AppendDouble(nil, v))
	case 2:
		s := quote("s" + g.text())
		var unquoted string
		_ = json.Unmarshal([]byte(s), &unquoted)
		return s, `{"S":` + s + `}`, unquoted
	case 3:
		return "true", `{"BOOL":true}`, "true"
	}
	return "null", `{"NULL":true}`, ""
}

// texts gives the rows as user/family and the features that are not null, in the order
// of their names.
func (l *lookUp) texts() []string {
	var m packed.Message
	if err := packed.Decode(l.builder.Encode(nil, packed.DynamoDB), &m); err != nil {
		l.t.Fatal(err)
	}
	var rows []string
	for _, block := range m.Blocks {
		slices.SortFunc(block.Columns, func(a, b packed.Column) int { return strings.Compare(a.Name, b.Name) })
		for i, sample := range block.SampleOf {
			row := string(m.Samples[sample].UserID) + "/" + block.Family
			for c := range block.Columns {
				if column := &block.Columns[c]; !column.IsNull(i) {
					row += " " + column.Name + "=" + string(column.Text(nil, i))
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}
