package plainhttp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// conn is a connection, with its buffer.
type conn struct {
	net.Conn
	raw       syscall.RawConn
	in        *bufio.Reader
	left      int64       // bytes that may be read yet
	received  bool        // something of the answer has come
	release   func() bool // ends the watch over the request's context; false = the connection is spoilt
	idleSince time.Time
}

// ErrHeaderTooLarge bounds what is read before an answer's body begins.
var ErrHeaderTooLarge = errors.New("the answer's header is too large")

func newConn(of net.Conn) (*conn, error) {
	s, ok := of.(syscall.Conn)
	if !ok {
		of.Close()
		return nil, fmt.Errorf("a connection of type %T", of)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		of.Close()
		return nil, fmt.Errorf("connection: %w", err)
	}
	c := &conn{Conn: of, raw: raw}
	c.in = bufio.NewReaderSize(reader{c}, readerBytes)
	return c, nil
}

// reader is what the connection's buffer reads from.
type reader struct{ *conn }

func (r reader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, ErrHeaderTooLarge
	}
	n, err := r.Conn.Read(p)
	r.left -= int64(n)
	r.received = r.received || n > 0
	return n, err
}

// drop closes a connection whose request has failed.
func (c *conn) drop() {
	c.release()
	c.Close()
}

// quiet tells whether nothing has come on a kept connection since its last answer: neither
// its end, nor an answer that nobody has asked for, such as the 408 of a server that gives
// idle clients up.
func (c *conn) quiet() bool {
	quiet := false
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}
