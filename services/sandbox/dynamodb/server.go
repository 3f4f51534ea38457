// Package dynamodb is a stand-in for Amazon DynamoDB: its JSON 1.0 protocol over HTTP,
// with the limits, partial answers and throttling that a client must be ready for.
// It is made for the demo, tests and benchmarks, and is no database: items are in
// memory, or made up from a run file (see [Synth]), and requests need no signature.
//
// Beyond the protocol, GET /_stats gives [Stats] as JSON.
package dynamodb

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"
)

// Bounds of DynamoDB.
const (
	maxRequestBytes   = 16 << 20
	maxCallBytes      = 16 << 20 // returned by one BatchGetItem
	maxPartitionBytes = 1 << 20  // of them from one partition
)

// What the protocol and the names of resources are made of.
const (
	contentType     = "application/x-amz-json-1.0"
	targetPrefix    = "DynamoDB_20120810."
	region, account = "sandbox-1", "000000000000"
)

// Config sets up a server. Its zero value is useful.
type Config struct {
	// UpdateTime is how long a table stays CREATING or UPDATING.
	UpdateTime time.Duration
	// Latency is added to every BatchGetItem and GetItem.
	Latency time.Duration
	// CallBytes and PartitionBytes bound what one BatchGetItem returns in all and from
	// one partition key value; 16 MB and 1 MB unless given.
	CallBytes, PartitionBytes int
	// BeforeBatchGet is asked what goes wrong with a BatchGetItem; nil = nothing. It is
	// called from many goroutines.
	BeforeBatchGet func(Call) Fault
	// Now is the clock; time.Now unless given.
	Now func() time.Time
}

// Call describes a BatchGetItem to BeforeBatchGet.
type Call struct {
	Number int64    // 1 for the first call that the server sees
	Tables []string // in the order of the request
	Keys   int
}

// Fault is what goes wrong with a call. Its zero value is nothing.
type Fault struct {
	Delay       time.Duration // before the answer
	Err         *Error        // the answer
	Unprocessed float64       // share of the keys that come back unprocessed; which ones changes from call to call
	Key         func(table, partition, sort string) KeyFault
	Truncate    bool // the connection breaks in the middle of the body
	CorruptBody bool // a byte of the body is not what X-Amz-Crc32 says
}

// KeyFault is what goes wrong with one key. Its zero value is nothing.
type KeyFault struct {
	Unprocessed bool
	Missing     bool
	Item        []byte // the item's JSON as it is sent, instead of the real one: {"user_id":{"S":"u1"},…}
}

// Server is the stand-in. It is an [http.Handler].
type Server struct {
	cfg   Config
	stats counters

	mu     sync.RWMutex
	tables map[string]*table
}

// New gives a server without tables.
func New(cfg Config) *Server {
	cfg.CallBytes = cmp.Or(cfg.CallBytes, maxCallBytes)
	cfg.PartitionBytes = cmp.Or(cfg.PartitionBytes, maxPartitionBytes)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{cfg: cfg, tables: map[string]*table{}}
}

// operation decodes a request, does it, and appends the answer's body to dst.
type operation func(s *Server, body, dst []byte) ([]byte, error)

var operations = map[string]operation{
	"BatchWriteItem":     handle((*Server).batchWriteItem),
	"CreateTable":        handle((*Server).createTable),
	"DeleteTable":        handle((*Server).deleteTable),
	"DescribeTable":      handle((*Server).describeTable),
	"GetItem":            handle((*Server).getItem),
	"ListTables":         handle((*Server).listTables),
	"ListTagsOfResource": handle((*Server).listTagsOfResource),
	"PutItem":            handle((*Server).putItem),
	"TagResource":        handle((*Server).tagResource),
	"UntagResource":      handle((*Server).untagResource),
	"UpdateTable":        handle((*Server).updateTable),
}

// handle makes an operation of a method with typed input and output. A field that the
// input lacks is refused by name rather than ignored.
func handle[In, Out any](do func(*Server, *In) (*Out, error)) operation {
	return func(s *Server, body, dst []byte) ([]byte, error) {
		in := new(In)
		if err := decode(body, in); err != nil {
			return nil, err
		}
		out, err := do(s, in)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		return append(dst, text...), nil
	}
}

// buffers are lent to requests and answers.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/_stats" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats())
		return
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || !ok {
		answerError(w, errorf(http.StatusBadRequest, "UnknownOperationException", "the sandbox's DynamoDB takes POST with X-Amz-Target: %sNAME", targetPrefix))
		return
	}
	body, answer := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer func() { buffers.Put(body); buffers.Put(answer) }()
	var err error
	if *body, err = readAll((*body)[:0], http.MaxBytesReader(w, r.Body, maxRequestBytes)); err != nil {
		answerError(w, errorf(http.StatusRequestEntityTooLarge, "ValidationException", "the request cannot be read: %v", err))
		return
	}
	s.stats.count(name)
	if name == "BatchGetItem" {
		*answer = s.serveBatchGet(w, r, *body, (*answer)[:0])
		return
	}
	do, ok := operations[name]
	if !ok {
		answerError(w, errorf(http.StatusBadRequest, "UnknownOperationException", "the sandbox's DynamoDB has no %s", name))
		return
	}
	if *answer, err = do(s, *body, (*answer)[:0]); err != nil {
		answerError(w, err)
		return
	}
	answerBody(w, http.StatusOK, *answer, Fault{})
}

func readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// answerBody sends a body with its checksum; the fault may damage it on its way.
func answerBody(w http.ResponseWriter, status int, body []byte, f Fault) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	h.Set("X-Amzn-Requestid", nuid.Next())
	w.WriteHeader(status)
	switch {
	case f.Truncate:
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	case f.CorruptBody:
		body[len(body)/2] ^= 1
	}
	_, _ = w.Write(body) // a client that went away is no concern of ours
}

func answerError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = errorf(http.StatusInternalServerError, "InternalServerError", "%v", err)
	}
	answerBody(w, e.Status, e.body(), Fault{})
}
