// Package rds is a stand-in for Amazon RDS: the part of its query protocol that describes,
// changes and tags database instances and Aurora clusters, with changes that take a while
// and others that stay pending. It is made for the demo, tests and benchmarks; there is no
// database behind it, and requests need no signature.
package rds

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"
)

// What the protocol and the names of resources are made of.
const (
	version         = "2014-10-31"
	namespace       = "http://rds.amazonaws.com/doc/" + version + "/"
	region, account = "sandbox-1", "000000000000"
	maxRequestBytes = 1 << 20
)

// Config sets up a server. Its zero value is useful.
type Config struct {
	// StartTime is how long an accepted change is only pending, and UpdateTime how long the
	// resource is "modifying" after that.
	StartTime, UpdateTime time.Duration
	// Now is the clock; time.Now unless given.
	Now func() time.Time
}

// Server is the stand-in. It is an [http.Handler].
type Server struct {
	cfg Config

	mu        sync.Mutex
	instances map[string]*instance
	clusters  map[string]*cluster
	calls     map[string]int
}

// New gives a server without databases.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{cfg: cfg, instances: map[string]*instance{}, clusters: map[string]*cluster{}, calls: map[string]int{}}
}

// AddInstance makes a database instance that is available, unless there is one of this name.
func (s *Server) AddInstance(id, class string, storageGiB int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.instances[id] == nil {
		s.instances[id] = &instance{id: id, class: class, storage: storageGiB, tags: map[string]string{}}
	}
}

// AddCluster makes an Aurora Serverless v2 cluster that is available, unless there is one of
// this name.
func (s *Server) AddCluster(id string, minACU, maxACU float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters[id] == nil {
		s.clusters[id] = &cluster{id: id, acu: acu{minACU, maxACU}, tags: map[string]string{}}
	}
}

// Calls counts the calls of an action since the start.
func (s *Server) Calls(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[action]
}

// Error is an error as RDS answers it.
type Error struct {
	Status  int
	Code    string // such as DBInstanceNotFound
	Message string
}

// Error gives code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// operation does what a form asks for, and gives the answer's result.
type operation func(s *Server, form url.Values) (any, error)

var operations = map[string]operation{
	"AddTagsToResource":      (*Server).addTags,
	"DescribeDBClusters":     (*Server).describeClusters,
	"DescribeDBInstances":    (*Server).describeInstances,
	"ListTagsForResource":    (*Server).listTags,
	"ModifyDBCluster":        (*Server).modifyCluster,
	"ModifyDBInstance":       (*Server).modifyInstance,
	"RemoveTagsFromResource": (*Server).removeTags,
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		answerError(w, errorf(http.StatusBadRequest, "MalformedQueryString", "the sandbox's RDS takes POST with a form: %v", err))
		return
	}
	action := r.PostForm.Get("Action")
	do, ok := operations[action]
	if !ok || r.PostForm.Get("Version") != version {
		answerError(w, errorf(http.StatusBadRequest, "InvalidAction", "the sandbox's RDS has no %s of version %q", action, r.PostForm.Get("Version")))
		return
	}
	s.mu.Lock()
	s.calls[action]++
	result, err := do(s, r.PostForm)
	s.mu.Unlock()
	if err != nil {
		answerError(w, err)
		return
	}
	answer(w, http.StatusOK, action+"Response", []any{named{action + "Result", result}, named{"ResponseMetadata", requestID()}})
}

type metadata struct{ RequestId string }

func requestID() metadata { return metadata{nuid.Next()} }

// named is an element that is called otherwise than its type.
type named struct {
	name  string
	value any
}

// MarshalXML writes the value under the name.
func (n named) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(n.value, xml.StartElement{Name: xml.Name{Local: n.name}})
}

func answer(w http.ResponseWriter, status int, root string, elements []any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	start := xml.StartElement{Name: xml.Name{Local: root}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	// A client that went away is no concern of ours.
	_ = xml.NewEncoder(w).EncodeElement(struct{ Elements []any }{elements}, start)
}

func answerError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = errorf(http.StatusInternalServerError, "InternalFailure", "%v", err)
	}
	body := struct{ Type, Code, Message string }{"Sender", e.Code, e.Message}
	answer(w, e.Status, "ErrorResponse", []any{named{"Error", body}, named{"RequestId", nuid.Next()}})
}

// check refuses parameters that the stand-in does not know, rather than ignore them.
func check(form url.Values, known ...string) error {
	for name := range form {
		base, _, _ := strings.Cut(name, ".")
		ok := base == "Action" || base == "Version"
		for _, k := range known {
			ok = ok || base == k
		}
		if !ok {
			return errorf(http.StatusBadRequest, "InvalidParameterValue", "the sandbox's RDS does not know the parameter %q", name)
		}
	}
	return nil
}
