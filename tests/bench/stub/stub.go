// Package stub answers for DynamoDB and a feature service at next to no cost, so that what
// a benchmark measures is the pipeline. It knows just the requests that the pipeline sends:
// keys without braces in them, one table a call. Each feature of each key has a value of its
// own, a fraction or a count, so that columns cost what real ones do. It proves nothing; that is
// what the sandbox is for.
package stub

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
)

// Config says what the stub answers.
type Config struct {
	Layout        string        // attributes, map or json: how an item holds its features
	HitRatio      float64       // of the keys, which have an item
	Features      int           // of a family
	Threads       int           // of the feature service; 0 = no limit
	DynamoLatency time.Duration // of a BatchGetItem
	FastLatency   time.Duration // of a request of several families
	SlowLatency   time.Duration // of a request of one family
}

// Counts is what a stub has been asked for.
type Counts struct {
	Calls    atomic.Int64 // BatchGetItem
	Keys     atomic.Int64 // in them
	Requests atomic.Int64 // to the feature service
	Families atomic.Int64 // in them
	BusyNS   atomic.Int64 // of the feature service's threads, all together
	FirstNS  atomic.Int64 // since 1970, when the feature service was first asked
	LastNS   atomic.Int64 // and had last answered
}

// Server is both stand-ins: POST / is DynamoDB, POST /features the feature service.
type Server struct {
	cfg     Config
	item    template // the attributes of an item, without its key
	family  template // the object of a family in the feature service's answer
	threads chan struct{}
	buffers sync.Pool
	Counts  Counts
}

// New makes a stub.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	if cfg.Threads > 0 {
		s.threads = make(chan struct{}, cfg.Threads)
	}
	var plain, typed []string
	for n := range cfg.Features {
		plain = append(plain, fmt.Sprintf(`"feature_%02d":%s`, n, value(n)))
		typed = append(typed, fmt.Sprintf(`"feature_%02d":{"N":"%s"}`, n, value(n)))
	}
	family := "{" + strings.Join(plain, ",") + "}"
	s.family = newTemplate(family)
	switch cfg.Layout {
	case "map":
		s.item = newTemplate(`"features":{"M":{` + strings.Join(typed, ",") + `}}`)
	case "json":
		s.item = newTemplate(`"features":{"S":` + strconv.Quote(family) + `}`)
	default:
		s.item = newTemplate(strings.Join(typed, ","))
	}
	return s
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in, out := s.buffers.Get().(*bytes.Buffer), s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(in)
	defer s.buffers.Put(out)
	in.Reset()
	out.Reset()
	if _, err := io.Copy(in, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/features" {
		s.features(out, in.Bytes())
		w.Header().Set("Content-Type", "application/json")
	} else {
		s.batchGet(out, in.Bytes())
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(out.Bytes())), 10))
	}
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes()) // who asked asks again
}

// batchGet answers {"RequestItems":{"<table>":{"Keys":[{…},{…}]…}}…}.
func (s *Server) batchGet(out *bytes.Buffer, body []byte) {
	s.Counts.Calls.Add(1)
	time.Sleep(s.cfg.DynamoLatency)
	table := between(body, `"RequestItems":{"`, `"`)
	keys := body[bytes.Index(body, []byte(`"Keys":[`))+len(`"Keys":[`):]
	out.WriteString(`{"Responses":{"`)
	out.Write(table)
	out.WriteString(`":[`)
	first := true
	for len(keys) > 0 && keys[0] != ']' {
		end := bytes.Index(keys, []byte("}}")) + 2
		key := bytes.TrimPrefix(keys[:end], []byte(","))
		keys = keys[end:]
		s.Counts.Keys.Add(1)
		if !s.hit(key) {
			continue
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		out.Write(key[:len(key)-1]) // without the closing brace of the item
		out.WriteByte(',')
		s.item.write(out, xxh3.Hash(key))
		out.WriteByte('}')
	}
	out.WriteString(`]},"UnprocessedKeys":{}}`)
}

func (s *Server) hit(key []byte) bool {
	if s.cfg.HitRatio >= 1 || s.cfg.HitRatio <= 0 {
		return s.cfg.HitRatio > 0
	}
	return float64(xxh3.Hash(key)%1000) < s.cfg.HitRatio*1000
}

// features answers {…"feature_families":["…","…"]…}.
func (s *Server) features(out *bytes.Buffer, body []byte) {
	s.Counts.Requests.Add(1)
	s.Counts.FirstNS.CompareAndSwap(0, time.Now().UnixNano())
	list, user := between(body, `"feature_families":[`, `]`), xxh3.Hash(between(body, `"user_id":"`, `"`))
	latency := s.cfg.SlowLatency
	if bytes.IndexByte(list, ',') >= 0 {
		latency = s.cfg.FastLatency
	}
	if s.threads != nil {
		s.threads <- struct{}{}
		defer func() { <-s.threads }()
	}
	time.Sleep(latency)
	s.Counts.BusyNS.Add(int64(latency))
	s.Counts.LastNS.Store(time.Now().UnixNano()) // of several at once either is as good
	out.WriteString(`{"features":{`)
	for i, family := range bytes.Split(list, []byte(",")) {
		s.Counts.Families.Add(1)
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(family)
		out.WriteByte(':')
		s.family.write(out, xxh3.Hash(family)^user)
	}
	out.WriteString(`}}`)
}

func between(b []byte, before, after string) []byte {
	_, rest, _ := bytes.Cut(b, []byte(before))
	text, _, _ := bytes.Cut(rest, []byte(after))
	return text
}

// Counted is Counts at a moment.
type Counted struct {
	Calls    int64 `json:"calls"`
	Keys     int64 `json:"keys"`
	Requests int64 `json:"requests"`
	Families int64 `json:"families"`
	BusyNS   int64 `json:"busy_ns"`
	FirstNS  int64 `json:"first_ns,omitempty"`
	LastNS   int64 `json:"last_ns,omitempty"`
}

// Read gives the counts.
func (c *Counts) Read() Counted {
	return Counted{c.Calls.Load(), c.Keys.Load(), c.Requests.Load(), c.Families.Load(), c.BusyNS.Load(), c.FirstNS.Load(), c.LastNS.Load()}
}
