package s3store

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// attemptTimeout bounds one request with its answer: the largest are some 20 MB, a list of
// all cells of a large run. A server that neither answers nor hangs up is waited for no
// longer.
const attemptTimeout = 2 * time.Minute

// bounded gives every attempt of a call its time.
type bounded struct{ client s3.HTTPClient }

// Do is called by the SDK.
func (b bounded) Do(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(request.Context(), attemptTimeout)
	response, err := b.client.Do(request.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	response.Body = &boundedBody{response.Body, cancel}
	return response, nil
}

// boundedBody ends the attempt when the answer is read.
type boundedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
