package featureservice

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/fastfeaturefetch/fff/shared/plainhttp"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// endpoint is a feature service as requests need it.
type endpoint struct {
	url  *url.URL
	name string // the URL without user, query and fragment: it may be shown

	host       *plainhttp.Host // nil = the client's transport is needed
	head, tail []byte          // of each request to host, before and behind the length of its body
}

// endpoint gives a URL of a run file as requests need it.
func (c *Client) endpoint(raw string) (*endpoint, error) {
	if e, ok := c.urls.Load(raw); ok {
		return e.(*endpoint), nil
	}
	u, err := url.Parse(raw)
	if err == nil && u.Host == "" {
		err = errors.New("it has no host")
	}
	if err != nil {
		return nil, fmt.Errorf("feature_service.url: %w", withoutURL(err))
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	own := &endpoint{url: u, name: shown.String()}
	own.connect()
	e, _ := c.urls.LoadOrStore(raw, own)
	return e.(*endpoint), nil
}

// connect finds out whether requests can be sent without the client's transport, which
// tells what is wrong with a URL that cannot be sent at all.
func (e *endpoint) connect() {
	const length = "Content-Length: "
	var form bytes.Buffer
	request := &http.Request{Method: http.MethodPost, URL: e.url, Host: e.url.Host, Header: requestHeader(e.url)}
	if err := request.Write(&form); err != nil {
		return
	}
	head, tail, ok := bytes.Cut(form.Bytes(), []byte(length+"0\r\n"))
	if !ok {
		return
	}
	e.host = plainhttp.New(e.url, dialTimeout)
	e.head, e.tail = append(head[:len(head):len(head)], length...), append([]byte("\r\n"), tail...)
}

// requestHeader gives the header of requests to a URL.
func requestHeader(u *url.URL) http.Header {
	h := http.Header{"Content-Type": {contentTypeJS}, "Accept": {contentTypeJS}}
	if u.User != nil {
		password, _ := u.User.Password()
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return h
}

// messages has the buffers of requests to hosts, which are sent when Send returns.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// send sends a request to the host. That it may arrive twice does no harm: it only reads.
func (e *endpoint) send(ctx context.Context, r *work.Request) (*http.Response, error) {
	m := messages.Get().(*[]byte)
	defer messages.Put(m)
	start := len(e.head) + len(e.tail)
	*m = appendRequest(append(append((*m)[:0], e.head...), e.tail...), r)
	*m = slices.Insert(*m, len(e.head), strconv.AppendInt(nil, int64(len(*m)-start), 10)...)
	return e.host.Send(ctx, *m)
}
