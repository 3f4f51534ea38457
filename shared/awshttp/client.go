// Package awshttp is the HTTP client below the AWS SDK's clients: connections sized to the
// concurrency, and requests whose bodies the SDK cannot close while they are being sent.
package awshttp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of connections.
const (
	dialTimeout     = 3 * time.Second
	handshakeBudget = 5 * time.Second
	idleTimeout     = 90 * time.Second
	readBufferBytes = 64 << 10 // an answer of 100 items has some 200 KB
)

// Client sends requests with bodies that nobody else can close. It is what the SDK's
// options call an HTTPClient.
type Client struct{ client *http.Client }

// New gives a client that keeps a connection for each of maxInFlight calls. HTTP/1.1: one
// connection of HTTP/2 would carry all calls, and its windows would throttle them.
func New(maxInFlight int) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Client{&http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: handshakeBudget,
			MaxIdleConns:        maxInFlight,
			MaxIdleConnsPerHost: maxInFlight,
			IdleConnTimeout:     idleTimeout,
			DisableCompression:  true,
			ReadBufferSize:      readBufferBytes,
			Protocols:           protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do sends a copy of the request with a body of its own. The SDK closes the body that
// it made as soon as Do returns, which races with the connection's write loop. Having
// the bytes, net/http can also send the request again, unseen, where a kept connection
// turns out to be closed: every call made through it may be made twice.
func (c *Client) Do(request *http.Request) (*http.Response, error) {
	own := request.Clone(request.Context())
	if request.Body != nil {
		body := make([]byte, max(request.ContentLength, 0))
		if _, err := io.ReadFull(request.Body, body); err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		own.Body = io.NopCloser(bytes.NewReader(body))
		own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		own.Header["X-Idempotency-Key"] = nil // tells net/http that the POST may be sent again, and is not sent itself
	}
	return c.client.Do(own)
}
