package awsdynamodb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/plainhttp"
)

// dialTimeout is for connections without TLS, as awshttp has it for others.
const dialTimeout = 3 * time.Second

// send signs a request and sends it. The answer's body must be closed.
func (c *Client) send(ctx context.Context, table string, body []byte) (*http.Response, error) {
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS credentials: %w", err)
	}
	t, err := c.template(ctx, table, credentials.AccessKeyID)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	own := *t.url // signing writes to it
	request.URL, request.Host, request.Header = &own, own.Host, t.header.Clone()
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), t.service, t.region, c.clock.now()); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	if t.host == nil {
		return c.http.Do(request)
	}
	return sendPlain(ctx, t.host, request)
}

// messages has the buffers of requests to hosts, which are sent when Send returns.
var messages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// sendPlain sends a request without TLS. That it may arrive twice does no harm: it only
// reads.
func sendPlain(ctx context.Context, host *plainhttp.Host, request *http.Request) (*http.Response, error) {
	m := messages.Get().(*bytes.Buffer)
	defer messages.Put(m)
	m.Reset()
	if err := request.Write(m); err != nil {
		return nil, err
	}
	return host.Send(ctx, m.Bytes())
}
