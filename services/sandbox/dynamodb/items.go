package dynamodb

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

const maxWritesPerBatch = 25

// Bytes of a read unit and of a write unit.
const (
	readUnitBytes  = 4 << 10
	writeUnitBytes = 1 << 10
)

// storedItem is an item that was put.
type storedItem struct {
	text []byte // its JSON as it is sent
	size int
}

// itemKey is a key as the table compares it: numbers are canonical, binary decoded.
type itemKey struct{ partition, sort string }

// text gives what the item is stored under.
func (k itemKey) text() string { return strconv.Itoa(len(k.partition)) + ":" + k.partition + k.sort }

type putItemInput struct {
	TableName              string
	Item                   attributes
	ReturnConsumedCapacity string
	ReturnValues           string
}

type writeOutput struct {
	ConsumedCapacity *consumed `json:",omitempty"`
}

type getItemInput struct {
	TableName              string
	Key                    attributes
	ConsistentRead         bool
	ReturnConsumedCapacity string
}

type getItemOutput struct {
	Item             json.RawMessage `json:",omitempty"`
	ConsumedCapacity *consumed       `json:",omitempty"`
}

type consumed struct {
	TableName     string
	CapacityUnits float64
}

type writeRequest struct {
	PutRequest    *struct{ Item attributes } `json:",omitempty"`
	DeleteRequest *struct{ Key attributes }  `json:",omitempty"`
}

type batchWriteInput struct {
	RequestItems           map[string][]writeRequest
	ReturnConsumedCapacity string
}

type batchWriteOutput struct {
	UnprocessedItems map[string][]writeRequest
	ConsumedCapacity []consumed `json:",omitempty"`
}

// asked says whether consumed capacity is to be returned.
func asked(returnConsumed string) (bool, error) {
	switch returnConsumed {
	case "", "NONE":
		return false, nil
	case "TOTAL", "INDEXES":
		return true, nil
	default:
		return false, invalid("ReturnConsumedCapacity %q is not one of NONE, TOTAL, INDEXES", returnConsumed)
	}
}

// keyOf gives the key that an item's attributes hold. exact refuses other attributes.
func (t *table) keyOf(a attributes, exact bool) (itemKey, error) {
	var k itemKey
	var err error
	want := 1
	if k.partition, err = keyValue(a, t.partition); err == nil && t.sort != nil {
		want = 2
		k.sort, err = keyValue(a, *t.sort)
	}
	if err == nil && exact && len(a) != want {
		err = invalid("The provided key element does not match the schema")
	}
	return k, err
}

func keyValue(a attributes, k keyAttribute) (string, error) {
	tag, value, err := tagged(a[k.name])
	var text string
	if err != nil || tag != k.typ || json.Unmarshal(value, &text) != nil {
		return "", invalid("One or more parameter values were invalid: Missing the key %s, of type %s, in the item", k.name, k.typ)
	}
	return comparable(k, text)
}

// comparable gives a key value so that equal values look equal.
func comparable[T string | []byte](k keyAttribute, value T) (string, error) {
	switch {
	case len(value) == 0:
		return "", invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty value. Key: %s", k.name)
	case k.typ == "N":
		text, ok := appendCanonicalNumber(nil, value)
		if !ok {
			return "", invalid("The parameter cannot be converted to a numeric value: %s", string(value))
		}
		return string(text), nil
	case k.typ == "B":
		data, err := base64.StdEncoding.DecodeString(string(value))
		if err != nil {
			return "", invalid("key attribute %s is no base64: %v", k.name, err)
		}
		return string(data), nil
	default:
		return string(value), nil
	}
}

// write is one checked change of a table: an item, or nil to delete it.
type write struct {
	table *table
	key   itemKey
	item  *storedItem
}

func (s *Server) checkPut(name string, item attributes) (write, error) {
	t, err := s.usable(name)
	if err != nil {
		return write{}, err
	}
	key, err := t.keyOf(item, false)
	if err != nil {
		return write{}, err
	}
	size, err := item.size()
	if err != nil {
		return write{}, err
	}
	if size > maxItemBytes {
		return write{}, invalid("Item size has exceeded the maximum allowed size of %d bytes", maxItemBytes)
	}
	text, err := json.Marshal(item)
	if err != nil {
		return write{}, invalid("%v", err)
	}
	return write{t, key, &storedItem{text, size}}, nil
}

func (w *write) units() float64 {
	if w.item == nil {
		return 1
	}
	return max(1, float64((w.item.size+writeUnitBytes-1)/writeUnitBytes))
}

// do makes the change, unless the table's write capacity is used up.
func (s *Server) do(w *write) bool {
	t := w.table
	if !t.write.available(s.cfg.Now()) {
		return false
	}
	t.write.spend(w.units())
	s.stats.writeUnits.Add(int64(w.units()))
	t.mu.Lock()
	defer t.mu.Unlock()
	at := w.key.text()
	t.itemBytes -= t.items[at].size
	if w.item == nil {
		delete(t.items, at)
		return true
	}
	t.items[at] = *w.item
	t.itemBytes += w.item.size
	return true
}

func (s *Server) putItem(in *putItemInput) (*writeOutput, error) {
	show, err := asked(in.ReturnConsumedCapacity)
	if err != nil {
		return nil, err
	}
	if in.ReturnValues != "" && in.ReturnValues != "NONE" {
		return nil, invalid("the sandbox's DynamoDB does not know ReturnValues %q", in.ReturnValues)
	}
	w, err := s.checkPut(in.TableName, in.Item)
	if err != nil {
		return nil, err
	}
	if !s.do(&w) {
		s.stats.throttled.Add(1)
		return nil, throttledWrite(in.TableName)
	}
	out := &writeOutput{}
	if show {
		out.ConsumedCapacity = &consumed{in.TableName, w.units()}
	}
	return out, nil
}

func throttledWrite(table string) *Error {
	e := Throttled(table)
	e.Reasons[0].Reason = "TableWriteProvisionedThroughputExceeded"
	return e
}

func (s *Server) getItem(in *getItemInput) (*getItemOutput, error) {
	show, err := asked(in.ReturnConsumedCapacity)
	if err != nil {
		return nil, err
	}
	t, err := s.usable(in.TableName)
	if err != nil {
		return nil, err
	}
	key, err := t.keyOf(in.Key, true)
	if err != nil {
		return nil, err
	}
	if !t.read.available(s.cfg.Now()) {
		s.stats.throttled.Add(1)
		return nil, Throttled(in.TableName)
	}
	s.stats.keys.Add(1)
	out := &getItemOutput{}
	text, size, ok := t.appendItem(nil, key)
	units := s.charge(t, size, ok, in.ConsistentRead)
	if ok {
		out.Item = text
	}
	if show {
		out.ConsumedCapacity = &consumed{in.TableName, units}
	}
	return out, nil
}

// charge counts one key that was read, and gives its read units.
func (s *Server) charge(t *table, size int, found, consistent bool) float64 {
	units := 1.0
	if found {
		units = max(1, float64((size+readUnitBytes-1)/readUnitBytes))
		s.stats.items.Add(1)
	} else {
		s.stats.missing.Add(1)
	}
	if !consistent {
		units /= 2
	}
	t.read.spend(units)
	s.stats.read(units)
	return units
}

// appendItem appends the JSON of the item under a key, if there is one. Items that
// were put come before those that the table makes up.
func (t *table) appendItem(dst []byte, k itemKey) (out []byte, size int, ok bool) {
	t.mu.RLock()
	synth := t.synth
	item, stored := storedItem{}, false
	if len(t.items) > 0 {
		item, stored = t.items[k.text()]
	}
	t.mu.RUnlock()
	switch {
	case stored:
		return append(dst, item.text...), item.size, true
	case synth != nil:
		return synth.appendItem(dst, k.partition, k.sort)
	default:
		return dst, 0, false
	}
}

func (s *Server) batchWriteItem(in *batchWriteInput) (*batchWriteOutput, error) {
	show, err := asked(in.ReturnConsumedCapacity)
	if err != nil {
		return nil, err
	}
	writes, err := s.checkWrites(in.RequestItems)
	if err != nil {
		return nil, err
	}
	out := &batchWriteOutput{UnprocessedItems: map[string][]writeRequest{}}
	units := map[string]float64{}
	done := 0
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		for i, w := range writes[name] {
			if !s.do(&w) {
				out.UnprocessedItems[name] = append(out.UnprocessedItems[name], in.RequestItems[name][i])
				continue
			}
			units[name] += w.units()
			done++
		}
		if show && units[name] > 0 {
			out.ConsumedCapacity = append(out.ConsumedCapacity, consumed{name, units[name]})
		}
	}
	if done == 0 {
		s.stats.throttled.Add(1)
		return nil, throttledWrite(slices.Min(slices.Collect(maps.Keys(in.RequestItems))))
	}
	return out, nil
}

// checkWrites checks the whole batch before anything of it is done.
func (s *Server) checkWrites(items map[string][]writeRequest) (map[string][]write, error) {
	out := map[string][]write{}
	total := 0
	for name, requests := range items {
		t, err := s.usable(name)
		if err != nil {
			return nil, err
		}
		seen := map[itemKey]bool{}
		for _, r := range requests {
			w := write{table: t}
			switch {
			case r.PutRequest != nil && r.DeleteRequest == nil:
				w, err = s.checkPut(name, r.PutRequest.Item)
			case r.DeleteRequest != nil && r.PutRequest == nil:
				w.key, err = t.keyOf(r.DeleteRequest.Key, true)
			default:
				err = invalid("Supplied WriteRequest must contain exactly one of PutRequest, DeleteRequest")
			}
			if err != nil {
				return nil, err
			}
			if seen[w.key] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[w.key] = true
			out[name] = append(out[name], w)
			total++
		}
	}
	if total == 0 || total > maxWritesPerBatch {
		return nil, invalid("BatchWriteItem takes 1 to %d writes, not %d", maxWritesPerBatch, total)
	}
	return out, nil
}
