// Package awsapi makes the clients of AWS that warm-up needs: those that read and change
// what things are scaled to.
//
// Everything comes from the SDK's own sources: AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, _RDS
// and _APPLICATION_AUTO_SCALING, AWS_PROFILE, the chain of credentials.
package awsapi

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"github.com/fastfeaturefetch/fff/shared/awshttp"
)

// ownRegion signs calls to an explicit endpoint when no region is set; who serves such an
// endpoint does not look at it.
const ownRegion = "us-east-1"

// maxInFlight is for how many calls at the same time connections are kept open; a warm-up
// makes one after another.
const maxInFlight = 4

// Clients are the clients of one process. They do not connect until they are used.
type Clients struct {
	DynamoDB *dynamodb.Client
	RDS      *rds.Client
	// AutoScaling is nil where DynamoDB is at an endpoint of its own and Application Auto
	// Scaling is not: what is not AWS scales no tables.
	AutoScaling *applicationautoscaling.Client
}

// Endpoints are URLs in place of those that the SDK finds: of stand-ins in the same process.
// "" = the SDK's.
type Endpoints struct{ DynamoDB, RDS string }

// New gives the clients. The SDK's own retries are on: what is called here is called a few
// times a minute.
func New(ctx context.Context, at Endpoints) (*Clients, error) {
	var load []func(*config.LoadOptions) error
	if at != (Endpoints{}) && os.Getenv("AWS_ACCESS_KEY_ID") == "" {
		// Stand-ins check no credentials, but the SDK wants some.
		load = append(load, config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "sandbox", SecretAccessKey: "sandbox", Source: "sandbox"}, nil
			})))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w; check the AWS_ variables and ~/.aws/config", err)
	}
	cfg.HTTPClient = awshttp.New(maxInFlight)
	c := &Clients{
		DynamoDB: dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
			o.BaseEndpoint = endpoint(at.DynamoDB, o.BaseEndpoint)
			o.Region = regionOf(o.Region, o.BaseEndpoint)
		}),
		RDS: rds.NewFromConfig(cfg, func(o *rds.Options) {
			o.BaseEndpoint = endpoint(at.RDS, o.BaseEndpoint)
			o.Region = regionOf(o.Region, o.BaseEndpoint)
		}),
	}
	scaling := applicationautoscaling.NewFromConfig(cfg, func(o *applicationautoscaling.Options) { o.Region = regionOf(o.Region, o.BaseEndpoint) })
	if c.DynamoDB.Options().BaseEndpoint == nil || scaling.Options().BaseEndpoint != nil {
		c.AutoScaling = scaling
	}
	return c, nil
}

func endpoint(own string, found *string) *string {
	if own != "" {
		return &own
	}
	return found
}

// regionOf gives the region that calls are signed for; "" where none is known, which the SDK
// says with the first call.
func regionOf(region string, endpoint *string) string {
	if region == "" && endpoint != nil {
		return ownRegion
	}
	return region
}
