package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/broker"
)

// Bounds of a request.
const (
	attemptTimeout = 10 * time.Second       // for one reply
	workTimeout    = 2 * time.Minute        // for the reply to a request that goes through a run's dead letters
	patience       = 30 * time.Second       // for somebody to answer: a new leader needs some seconds
	askAgain       = 10 * time.Millisecond  // after the first attempt: a system that is just starting is there in a moment
	askLater       = 250 * time.Millisecond // between two attempts, at the most
)

// Client asks the orchestrator. Its methods may be called at the same time; all of them
// may be repeated without harm, and are, while nobody answers.
type Client struct {
	broker   *broker.Client
	send     func(context.Context, *nats.Msg) (*nats.Msg, error) // gives the reply
	patience time.Duration
}

// NewClient makes a client on a connection.
func NewClient(c *broker.Client) *Client {
	return &Client{broker: c, send: c.NC.RequestMsgWithContext, patience: patience}
}

// Open opens a run, or resumes it; file is the run file as YAML or JSON. The same file
// again changes nothing.
func (c *Client) Open(ctx context.Context, run string, file []byte, takeOver bool) (*Opened, error) {
	m := &nats.Msg{Subject: SubjectOpen + "." + run, Data: file, Header: nats.Header{}}
	if takeOver {
		m.Header.Set(HeaderTakeOver, "true")
	}
	o := new(Opened)
	return o, c.ask(ctx, m, o)
}

// Close seals the input of a run that has seen that many records. inputHash, which may
// be "", comes back in the run's status.
func (c *Client) Close(ctx context.Context, run string, records int64, inputHash string) (*Closed, error) {
	r := new(Closed)
	return r, c.request(ctx, SubjectClose+"."+run, CloseRequest{Records: records, InputHash: inputHash}, r)
}

// Status tells how a run stands.
func (c *Client) Status(ctx context.Context, run string) (*Status, error) {
	s := new(Status)
	return s, c.request(ctx, SubjectStatus+"."+run, nil, s)
}

// List tells how all runs stand. Batches for runs that nobody opened are listed with the
// state Stray.
func (c *Client) List(ctx context.Context) ([]Status, error) {
	var all []Status
	return all, c.request(ctx, SubjectList, nil, &all)
}

// Cancel ends a run: what is committed stays, the rest is dropped, all is torn down.
func (c *Client) Cancel(ctx context.Context, run string) error {
	return c.request(ctx, SubjectCancel+"."+run, nil, &struct{}{})
}

// Teardown takes down what an ended run has left behind, its input and dead letters
// included.
func (c *Client) Teardown(ctx context.Context, run string) error {
	return c.request(ctx, SubjectTeardown+"."+run, nil, &struct{}{})
}

// Replay sends dead letters of a run through the system again, in a new epoch.
func (c *Client) Replay(ctx context.Context, run string, s Selection) (*Replayed, error) {
	r := new(Replayed)
	return r, c.request(ctx, SubjectReplay+"."+run, s, r)
}

// Drop removes dead letters of a run, or the batches of a run that nobody opened.
func (c *Client) Drop(ctx context.Context, run string, s Selection) (*Dropped, error) {
	r := new(Dropped)
	return r, c.request(ctx, SubjectDrop+"."+run, s, r)
}

func (c *Client) request(ctx context.Context, subject string, body, reply any) error {
	m := &nats.Msg{Subject: subject}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("request %s: %w", subject, err)
		}
		m.Data = data
	}
	return c.ask(ctx, m, reply)
}

// ask sends a request until somebody answers, for as long as the client's patience.
func (c *Client) ask(ctx context.Context, m *nats.Msg, reply any) error {
	deadline, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	for wait := askAgain; ; wait = min(2*wait, askLater) {
		timeout := attemptTimeout
		if strings.HasPrefix(m.Subject, SubjectReplay+".") || strings.HasPrefix(m.Subject, SubjectDrop+".") {
			timeout = workTimeout // asked again meanwhile, it would count what is left only
		}
		attempt, done := context.WithTimeout(ctx, timeout)
		answer, err := c.send(attempt, m)
		done()
		if err == nil {
			if err = DecodeReply(answer.Data, reply); !tryAgain(err) {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !tryAgain(err) && !passing(err) {
			return fmt.Errorf("ask %s: %w", m.Subject, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.Done():
			if tryAgain(err) {
				return err
			}
			return c.nobody(m.Subject, err)
		case <-time.After(wait):
		}
	}
}

// tryAgain tells whether the orchestrator asked to be asked again.
func tryAgain(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == CodeTryAgain
}

// passing tells whether an error may be gone in a moment: no leader yet, or none any
// more, or the connection is being made again.
func passing(err error) bool {
	for _, p := range []error{nats.ErrNoResponders, nats.ErrTimeout, context.DeadlineExceeded,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded} {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}

func (c *Client) nobody(subject string, err error) error {
	return Errorf(CodeNoLeader, "no orchestrator answered %s at %s within %s (%v); start one with `fff up` or check FFF_NATS_URL",
		subject, c.broker.NC.ConnectedUrlRedacted(), c.patience, err)
}
