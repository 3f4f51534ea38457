// Package awsdynamodb sends BatchGetItem calls with the AWS SDK: its endpoints,
// credentials and signatures, but with bodies that the caller writes and reads as bytes.
//
// Four things differ from the SDK's own client. Bodies are not turned into
// map[string]AttributeValue, which costs five times the rest of the call. The body's
// checksum is verified over the whole. The SDK retries nothing: its retries draw on one
// bucket of tokens, which a throttled table empties for every caller. And the request's
// body is detached from the SDK, which closes it while net/http may still be reading it;
// fast backends would see broken requests.
package awsdynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
	api      *dynamodb.Client
	noRegion bool
	timeout  time.Duration
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
	api := dynamodb.NewFromConfig(awsConfig, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = sandboxRegion
		}
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = awshttp.New(cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight))
		o.DisableValidateResponseChecksum = true // rawDeserializer does
		o.APIOptions = append(o.APIOptions, sendRawBodies)
	})
	return &Client{api: api, noRegion: api.Options().Region == "", timeout: cmp.Or(cfg.Timeout, DefaultTimeout)}, nil
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
	bodies := &bodies{request: request, answer: dst}
	callCtx, left := deadline.With(context.WithValue(ctx, bodiesKey{}, bodies), c.timeout)
	defer left.Stop()
	bodies.grow = func(size int) error {
		if grow == nil {
			return nil
		}
		return left.Pause(func() error { return grow(callCtx, size) })
	}
	// The input is what endpoints are chosen by and what the SDK validates; its keys
	// are in the request already.
	_, err := c.api.BatchGetItem(callCtx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{table: {Keys: []map[string]types.AttributeValue{}}},
	})
	if answered, ok := errors.AsType[*Error](err); ok {
		err = answered // without the layers of the SDK around it
	} else if err != nil && ctx.Err() == nil && callCtx.Err() != nil {
		err = fmt.Errorf("no answer within %v: %w", c.timeout, context.DeadlineExceeded)
	}
	return bodies.answer, err
}
