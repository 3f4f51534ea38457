package awsdynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/fastfeaturefetch/fff/shared/plainhttp"
)

// template is a request for a table as the SDK makes it, without what differs from call
// to call: body, date, signature and numbers of attempts.
type template struct {
	url             *url.URL
	header          http.Header
	service, region string          // that requests are signed for
	host            *plainhttp.Host // nil = net/http's transport is needed

	accessKey string // that it was made for: endpoints may depend on the account
	until     time.Time
}

// templateLife is how long a template is used. An endpoint that the SDK was given by
// DynamoDB for some minutes is not used for much longer.
const templateLife = time.Minute

// template gives the table's request.
func (c *Client) template(ctx context.Context, table, accessKey string) (*template, error) {
	now := time.Now()
	if known, ok := c.templates.Load(table); ok {
		if t := known.(*template); t.accessKey == accessKey && now.Before(t.until) {
			return t, nil
		}
	}
	var made capture
	// The table is what endpoints are chosen by.
	_, err := c.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{table: {Keys: []map[string]types.AttributeValue{}}},
	}, made.insteadOfSigning)
	t := made.template
	if t == nil {
		return nil, fmt.Errorf("the SDK makes no request: %w", err)
	}
	t.accessKey, t.until = accessKey, now.Add(templateLife)
	host, ok := c.hosts.Load(t.url.Host)
	if !ok {
		host, _ = c.hosts.LoadOrStore(t.url.Host, plainhttp.New(t.url, dialTimeout))
	}
	t.host = host.(*plainhttp.Host)
	c.templates.Store(table, t)
	return t, nil
}

// capture stands for the SDK's way of signing. It takes the request that would be signed,
// and ends the call.
type capture struct {
	smithyhttp.AuthScheme
	template *template
}

var errCaptured = errors.New("the request is not sent")

// insteadOfSigning puts the capture into the options of a call.
func (c *capture) insteadOfSigning(o *dynamodb.Options) {
	for _, scheme := range o.AuthSchemes {
		if scheme.SchemeID() == auth.SchemeIDSigV4 {
			c.AuthScheme = scheme
			o.AuthSchemes = []smithyhttp.AuthScheme{c}
			return
		}
	}
}

// Signer gives the capture.
func (c *capture) Signer() smithyhttp.Signer { return c }

// SignRequest keeps the request.
func (c *capture) SignRequest(_ context.Context, request *smithyhttp.Request, _ auth.Identity, how smithy.Properties) error {
	header := request.Header.Clone()
	for _, name := range []string{"Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Content-Length"} {
		header.Del(name)
	}
	c.template = &template{url: request.URL, header: header}
	c.template.service, _ = smithyhttp.GetSigV4SigningName(&how)
	c.template.region, _ = smithyhttp.GetSigV4SigningRegion(&how)
	return errCaptured
}
