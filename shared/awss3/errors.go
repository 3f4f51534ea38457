package awss3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// Reason says what kept S3 from doing what it was asked to.
type Reason uint8

// The reasons.
const (
	Other          Reason = iota
	NoBucket              // there is no such bucket
	NoKey                 // there is no such object
	Denied                // the credentials do not allow it
	NoCredentials         // there are none
	BadCredentials        // S3 does not know them, or no more
	BadSetting            // region, endpoint or profile are missing or wrong
	WrongRegion           // the bucket is elsewhere
	Unreachable           // nobody answers at the endpoint
	Changed               // the object is another than at the beginning
)

// Setting tells whether the reason is something that the person who asked can set right.
func (r Reason) Setting() bool {
	switch r {
	case NoBucket, NoKey, Denied, NoCredentials, BadCredentials, BadSetting, WrongRegion:
		return true
	default:
		return false
	}
}

// Error is a failure of S3 in words: what it is about, what is wrong and what to do.
// One of an object that is not there matches fs.ErrNotExist, one of a bucket does not: what
// can be made when it is missing is an object.
type Error struct {
	Reason Reason
	Where  s3url.URL // the zero URL if it is about no place
	Err    error     // the SDK's; nil if it has none

	text string
}

// Error gives the words.
func (e *Error) Error() string {
	if e.Where == (s3url.URL{}) {
		return e.text
	}
	return e.Where.String() + ": " + e.text
}

// Unwrap gives the SDK's error.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the errors of package fs.
func (e *Error) Is(target error) bool {
	return e.Reason == NoKey && target == fs.ErrNotExist || e.Reason == Denied && target == fs.ErrPermission
}

// changedText is the same for what S3 refuses and what is found out here.
const changedText = "the object was changed while it was being read; run the command again when nobody writes to it"

// credentialsError is an error of the chain of credentials.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// namedCredentials makes errors of the chain known by their type.
type namedCredentials struct{ aws.CredentialsProvider }

// Retrieve is called by the SDK.
func (c namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return found, &credentialsError{err}
	}
	return found, nil
}

// Explain turns an error of the client into an *Error about a place. Errors of a context that
// ended, and those that are explained already, are given back as they are.
func Explain(client *s3.Client, where s3url.URL, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	reason, text := explain(client, where, err)
	return &Error{Reason: reason, Where: where, Err: err, text: text}
}

func explain(client *s3.Client, where s3url.URL, err error) (Reason, string) {
	if c, ok := errors.AsType[*credentialsError](err); ok {
		return NoCredentials, fmt.Sprintf("no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (%v)", shortest(c.err))
	}
	code, message := "", ""
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = e.ErrorCode(), e.ErrorMessage()
	}
	status, header := 0, http.Header{}
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && e.Response != nil && e.Response.Response != nil {
		status, header = e.Response.StatusCode, e.Response.Header
	}
	switch code {
	case "NoSuchBucket":
		return NoBucket, fmt.Sprintf("there is no bucket %q %s; check the name, or make it", where.Bucket, at(client))
	case "NoSuchKey", "NotFound":
		return NoKey, "there is no such object; check the key"
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return Denied, "access denied; the credentials need s3:GetObject, s3:PutObject and s3:ListBucket there (without the last, what does not exist is denied too)"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired",
		"XAdminUserNotFound": // of versitygw
		return BadCredentials, fmt.Sprintf("%s does not take the AWS credentials (%s); renew them, or check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE", host(client), code)
	case "PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		if region := header.Get("X-Amz-Bucket-Region"); region != "" {
			return WrongRegion, fmt.Sprintf("the bucket is in another region; set AWS_REGION=%s", region)
		}
		return WrongRegion, fmt.Sprintf("the bucket is in another region than %s; set AWS_REGION to its own", client.Options().Region)
	case "PreconditionFailed":
		return Changed, changedText
	}
	var send *smithyhttp.RequestSendError
	switch {
	case errors.As(err, &send):
		return Unreachable, fmt.Sprintf("%s cannot be reached (%v); check the network, AWS_ENDPOINT_URL_S3 and AWS_REGION", host(client), shortest(send.Err))
	case code != "":
		return Other, fmt.Sprintf("%s answered %s: %s (HTTP status %d)", host(client), code, message, status)
	case status != 0:
		return Other, fmt.Sprintf("%s answered with HTTP status %d, and not as S3 does; check AWS_ENDPOINT_URL_S3", host(client), status)
	}
	return Other, err.Error()
}

// at says where buckets were looked for.
func at(client *s3.Client) string { return "at " + host(client) }

// host names who was asked.
func host(client *s3.Client) string {
	o := client.Options()
	if o.BaseEndpoint != nil {
		return *o.BaseEndpoint
	}
	return "S3 in " + o.Region
}

// shortest gives the innermost error of a chain: the ones around it repeat what is said
// already.
func shortest(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
