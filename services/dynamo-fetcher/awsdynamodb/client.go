// Package awsdynamodb sends BatchGetItem calls with the endpoints, credentials and
// signatures of the AWS SDK, but with bodies that the caller writes and reads as bytes.
//
// The SDK makes a request for each table once a minute, up to its signature. Each call
// copies it, and adds its body, date and signature: putting the SDK's middleware together
// for each call costs as much as all the rest of it. Nothing is retried here: the SDK's
// retries draw on one bucket of tokens, which a throttled table empties for every caller.
// An endpoint without TLS is asked over plain connections, others by net/http.
package awsdynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/fastfeaturefetch/fff/shared/awshttp"
	"github.com/fastfeaturefetch/fff/shared/deadline"
)

// The defaults of Config.
const (
	DefaultMaxInFlight = 64
	DefaultTimeout     = 15 * time.Second
)

// sandboxRegion signs calls to an explicit endpoint when no region is set; who serves
// such an endpoint does not look at it.
const sandboxRegion = "us-east-1"

// Config sets up a client. Its zero value takes everything from the SDK's own sources:
// AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, AWS_PROFILE, the chain of credentials.
type Config struct {
	Endpoint         string        // URL in place of the one that the SDK finds; "" = the SDK's
	DummyCredentials bool          // sign with made-up credentials: for a sandbox that checks none
	MaxInFlight      int           // calls at the same time, for which connections are kept open; default 64
	Timeout          time.Duration // of one call, its answer's body included; default 15 s
}

// Client makes BatchGetItem calls. It is safe for concurrent use.
type Client struct {
	api         *dynamodb.Client
	credentials aws.CredentialsProvider // as the SDK keeps and renews them
	signer      *v4.Signer
	http        *awshttp.Client
	noRegion    bool
	timeout     time.Duration
	clock       clock

	templates sync.Map // of table → *template
	hosts     sync.Map // as in URLs → *plainhttp.Host, nil for one that needs http
}

// New gives a client. It reads the environment and the shared config files, and does
// not connect. What is missing there is an error of the calls, because a process may
// never be asked for one.
func New(ctx context.Context, cfg Config) (*Client, error) {
	var load []func(*config.LoadOptions) error
	if cfg.DummyCredentials {
		load = append(load, config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "sandbox", SecretAccessKey: "sandbox", Source: "sandbox"}, nil
			})))
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w; check the AWS_ variables and ~/.aws/config", err)
	}
	client := awshttp.New(cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight))
	api := dynamodb.NewFromConfig(awsConfig, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = sandboxRegion
		}
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = client
	})
	options := api.Options()
	return &Client{
		api: api, credentials: options.Credentials, signer: v4.NewSigner(), http: client,
		noRegion: options.Region == "", timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
	}, nil
}

// BatchGet sends one BatchGetItem request for one table and appends the answer's body
// to dst, which it gives back even with an error. Unless grow is nil it is asked before
// dst gets more than its capacity, and told its new one; the time that it takes does not
// count as the call's. An error that DynamoDB answered is an
// [*Error]; every other one means that no answer could be had.
func (c *Client) BatchGet(ctx context.Context, table string, request, dst []byte, grow func(ctx context.Context, size int) error) ([]byte, error) {
	if c.noRegion {
		return dst, &Error{Code: "MissingRegion", Message: "no AWS region is set; set AWS_REGION, or AWS_ENDPOINT_URL_DYNAMODB for a DynamoDB of your own"}
	}
	callCtx, left := deadline.With(ctx, c.timeout)
	defer left.Stop()
	a := &answer{data: dst, grow: func(size int) error {
		if grow == nil {
			return nil
		}
		return left.Pause(func() error { return grow(callCtx, size) })
	}}
	err := c.exchange(callCtx, table, request, a)
	if _, answered := errors.AsType[*Error](err); err != nil && !answered {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case callCtx.Err() != nil:
			err = fmt.Errorf("no answer within %v: %w", c.timeout, context.DeadlineExceeded)
		}
	}
	return a.data, err
}

// exchange sends a request and reads its answer.
func (c *Client) exchange(ctx context.Context, table string, request []byte, a *answer) error {
	response, err := c.send(ctx, table, request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // all was read; there is nothing to lose
	c.clock.set(response.Header)
	if response.StatusCode != http.StatusOK {
		return readError(response)
	}
	start := len(a.data)
	if err := a.read(response); err != nil {
		return err
	}
	return verify(a.data[start:], response.Header)
}
