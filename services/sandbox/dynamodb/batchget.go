package dynamodb

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const maxKeysPerGet = 100

// batchGet is a decoded BatchGetItem. Text points into the request.
type batchGet struct {
	tables   []tableGet
	consumed bool // is to be returned
}

// tableGet is what a BatchGetItem asks one table for.
type tableGet struct {
	name       string
	consistent bool
	keys       []keyGet
	table      *table
	units      float64
}

// keyGet is one key of a BatchGetItem.
type keyGet struct {
	text        []byte // as it was sent
	attributes  [2]attributeGet
	count       int // of the attributes
	key         itemKey
	unprocessed bool
}

// attributeGet is one attribute of a key.
type attributeGet struct {
	name, typ, value []byte
}

// serveBatchGet answers a BatchGetItem; the body is built in dst.
func (s *Server) serveBatchGet(w http.ResponseWriter, r *http.Request, body, dst []byte) []byte {
	number := s.stats.batchGets.Add(1)
	get, err := decodeBatchGet(body)
	if err == nil {
		err = s.resolve(get)
	}
	if err != nil {
		answerError(w, err)
		return dst
	}
	var fault Fault
	if s.cfg.BeforeBatchGet != nil {
		fault = s.cfg.BeforeBatchGet(get.call(number))
	}
	if !wait(r.Context(), s.cfg.Latency+fault.Delay) {
		return dst
	}
	if fault.Err != nil {
		s.stats.countFault(fault.Err)
		answerError(w, fault.Err)
		return dst
	}
	if dst, err = s.appendBatchGet(dst, get, &fault); err != nil {
		answerError(w, err)
		return dst
	}
	s.stats.answerBytes.Add(int64(len(dst)))
	answerBody(w, http.StatusOK, dst, fault)
	return dst
}

func (c *counters) countFault(e *Error) {
	if e.Status == http.StatusBadRequest {
		c.throttled.Add(1)
	} else {
		c.failed.Add(1)
	}
}

// wait pauses; false says that the client went away meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (g *batchGet) call(number int64) Call {
	c := Call{Number: number}
	for i := range g.tables {
		c.Tables = append(c.Tables, g.tables[i].name)
		c.Keys += len(g.tables[i].keys)
	}
	return c
}

var seenKeys = sync.Pool{New: func() any { return map[itemKey]struct{}{} }}

// resolve finds the tables and checks the keys, all before anything is read.
func (s *Server) resolve(g *batchGet) error {
	total := 0
	for i := range g.tables {
		total += len(g.tables[i].keys)
	}
	if total == 0 {
		return invalid("The batch get request must hold at least one key")
	}
	if total > maxKeysPerGet {
		return invalid("Too many items requested for the BatchGetItem call: %d keys, %d at most", total, maxKeysPerGet)
	}
	seen := seenKeys.Get().(map[itemKey]struct{})
	defer func() { clear(seen); seenKeys.Put(seen) }()
	for i := range g.tables {
		t := &g.tables[i]
		var err error
		if t.table, err = s.usable(t.name); err != nil {
			return err
		}
		if len(t.keys) == 0 {
			return invalid("table %s: Keys must hold at least one key", t.name)
		}
		clear(seen)
		for j := range t.keys {
			if err := t.keys[j].resolve(t.table); err != nil {
				return err
			}
			if _, doubled := seen[t.keys[j].key]; doubled {
				return invalid("Provided list of item keys contains duplicates")
			}
			seen[t.keys[j].key] = struct{}{}
		}
	}
	return nil
}

// resolve fits the key to the table's schema.
func (k *keyGet) resolve(t *table) error {
	want := 1
	err := k.value(&k.key.partition, t.partition)
	if err == nil && t.sort != nil {
		want = 2
		err = k.value(&k.key.sort, *t.sort)
	}
	if err == nil && k.count != want {
		err = invalid("The provided key element does not match the schema")
	}
	return err
}

func (k *keyGet) value(into *string, want keyAttribute) (err error) {
	for i := range k.count {
		if a := &k.attributes[i]; string(a.name) == want.name && string(a.typ) == want.typ {
			*into, err = comparable(want, a.value)
			return err
		}
	}
	return invalid("The provided key element does not match the schema")
}

// reader is the state of a BatchGetItem that is being answered.
type reader struct {
	*Server
	fault      *Fault
	bytes      int            // of items that were returned
	partitions map[string]int // the same by partition key value
	processed  int
	throttled  *table // nil = none was
}

// appendBatchGet reads the keys in no particular order and appends the answer.
func (s *Server) appendBatchGet(dst []byte, g *batchGet, fault *Fault) ([]byte, error) {
	r := reader{Server: s, fault: fault, partitions: map[string]int{}}
	dst = append(dst, `{"Responses":{`...)
	for i := range g.tables {
		t := &g.tables[i]
		rand.Shuffle(len(t.keys), func(a, b int) { t.keys[a], t.keys[b] = t.keys[b], t.keys[a] })
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, t.name), `:[`...)
		clear(r.partitions)
		first := true
		for j := range t.keys {
			before := len(dst)
			if !first {
				dst = append(dst, ',')
			}
			start := len(dst)
			if dst = r.read(dst, t, &t.keys[j]); len(dst) == start {
				dst = dst[:before]
			} else {
				first = false
			}
		}
		dst = append(dst, ']')
		s.stats.keys.Add(int64(len(t.keys)))
	}
	if r.processed == 0 && r.throttled != nil {
		s.stats.throttled.Add(1)
		return dst, Throttled(r.throttled.name)
	}
	dst = g.appendUnprocessed(append(dst, `},"UnprocessedKeys":{`...))
	dst = append(dst, '}')
	if g.consumed {
		dst = g.appendConsumed(dst)
	}
	return append(dst, '}'), nil
}

// read appends the item under one key, or nothing where there is none or the key stays
// unprocessed.
func (r *reader) read(dst []byte, t *tableGet, k *keyGet) []byte {
	var f KeyFault
	if r.fault.Key != nil {
		f = r.fault.Key(t.name, k.key.partition, k.key.sort)
	}
	switch {
	case f.Unprocessed, r.fault.Unprocessed > 0 && rand.Float64() < r.fault.Unprocessed, r.bytes >= r.cfg.CallBytes:
		return r.skip(dst, k)
	case !t.table.read.available(r.cfg.Now()):
		r.throttled = t.table
		return r.skip(dst, k)
	}
	before := len(dst)
	size, ok := 0, false
	switch {
	case f.Item != nil:
		dst, size, ok = append(dst, f.Item...), len(f.Item), true
	case !f.Missing:
		dst, size, ok = t.table.appendItem(dst, k.key)
	}
	// The first item is always returned: no item alone is above a bound.
	partition := r.partitions[k.key.partition]
	if ok && (partition > 0 && partition+size > r.cfg.PartitionBytes || r.bytes > 0 && r.bytes+size > r.cfg.CallBytes) {
		return r.skip(dst[:before], k)
	}
	r.bytes += size
	r.partitions[k.key.partition] = partition + size
	r.processed++
	t.units += r.charge(t.table, size, ok, t.consistent)
	return dst
}

func (r *reader) skip(dst []byte, k *keyGet) []byte {
	k.unprocessed = true
	r.stats.unprocessed.Add(1)
	return dst
}

func (g *batchGet) appendUnprocessed(dst []byte) []byte {
	tables := 0
	for i := range g.tables {
		t := &g.tables[i]
		keys := 0
		for j := range t.keys {
			if !t.keys[j].unprocessed {
				continue
			}
			switch {
			case keys > 0:
				dst = append(dst, ',')
			case tables > 0:
				dst = append(appendQuoted(append(dst, ','), t.name), `:{"Keys":[`...)
			default:
				dst = append(appendQuoted(dst, t.name), `:{"Keys":[`...)
			}
			keys++
			dst = append(dst, t.keys[j].text...)
		}
		if keys > 0 {
			tables++
			dst = append(dst, `],"ConsistentRead":`...)
			dst = append(strconv.AppendBool(dst, t.consistent), '}')
		}
	}
	return dst
}

func (g *batchGet) appendConsumed(dst []byte) []byte {
	dst = append(dst, `,"ConsumedCapacity":[`...)
	for i := range g.tables {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(dst, `{"TableName":`...), g.tables[i].name)
		dst = append(dst, `,"CapacityUnits":`...)
		dst = append(strconv.AppendFloat(dst, g.tables[i].units, 'f', -1, 64), '}')
	}
	return append(dst, ']')
}
