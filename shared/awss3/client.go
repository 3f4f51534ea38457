// Package awss3 makes clients of S3, and of what speaks its protocol.
//
// Everything comes from the SDK's own sources: AWS_REGION, AWS_ENDPOINT_URL_S3, AWS_PROFILE,
// the chain of credentials.
package awss3

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/fastfeaturefetch/fff/shared/awshttp"
)

// ownRegion signs calls to an explicit endpoint when no region is set; who serves such an
// endpoint does not look at it.
const ownRegion = "us-east-1"

// maxInFlight is for how many calls at the same time connections are kept open.
const maxInFlight = 64

// Client is the SDK's client, for who holds one and does not call it.
type Client = s3.Client

// New gives a client. It does not connect. The SDK's retries are on: what is called here is
// called some thousand times an hour, not a thousand times a second.
func New(ctx context.Context) (*s3.Client, error) {
	// What the SDK would log on its way is in the error at its end.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, &Error{Reason: BadSetting, Err: err, text: fmt.Sprintf("AWS configuration: %v; check the AWS_ variables and ~/.aws/config", err)}
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if o.BaseEndpoint != nil {
			// A server of one's own has one name; buckets are in the path.
			o.UsePathStyle = true
			if o.Region == "" {
				o.Region = ownRegion
			}
		}
		o.Credentials = namedCredentials{o.Credentials}
		o.HTTPClient = awshttp.New(maxInFlight)
		// What is sent carries a checksum that every server knows, Content-MD5; the newer
		// ones are asked of nobody who may not know them.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if at := client.Options().BaseEndpoint; at != nil && !isURL(*at) {
		return nil, &Error{Reason: BadSetting, text: fmt.Sprintf("the endpoint of S3 is %q, which is no URL; set AWS_ENDPOINT_URL_S3 to one like http://127.0.0.1:9000", *at)}
	}
	if client.Options().Region == "" {
		return nil, &Error{Reason: BadSetting, text: "no AWS region is set; set AWS_REGION, or AWS_ENDPOINT_URL_S3 for an S3 of your own"}
	}
	return client, nil
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
