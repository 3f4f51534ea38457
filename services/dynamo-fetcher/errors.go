package dynamofetcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
)

// Pauses before a call is made again for keys that DynamoDB did not look up. They grow
// with full jitter from minPause to maxPause. After pauses in vain the call is handed
// back, so that the runner can say what it waits for.
const (
	minPause = 25 * time.Millisecond
	maxPause = 5 * time.Second
	pauses   = 9 // some 6 s in all
)

// apiError is an error that DynamoDB answered.
type apiError interface {
	error
	ErrorCode() string
	HTTPStatus() int
}

// outputError is an error of the stage's outputs, or of the run's budget, with which DynamoDB
// has nothing to do.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// isThrottled says whether DynamoDB refused a call only because there were too many.
func isThrottled(err error) bool {
	e, ok := errors.AsType[apiError](err)
	if !ok {
		return false
	}
	switch e.ErrorCode() {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling",
		"ThrottledException", "TooManyRequestsException":
		return true
	}
	return e.HTTPStatus() == 429
}

// classify says what is to be done about a call that failed, and names its table.
func classify(table string, err error) error {
	if e, ok := errors.AsType[*outputError](err); ok {
		return e.err
	}
	e, ok := errors.AsType[apiError](err)
	if !ok || e.HTTPStatus() >= 500 {
		return failure.Retry(failure.DynamoDBError, "table %q: %w", table, err)
	}
	remedy := ""
	switch e.ErrorCode() {
	case "RequestTimeout", "RequestTimeoutException", "RequestTimeTooSkewed", "RequestExpired",
		"ExpiredToken", "ExpiredTokenException", "InternalServerError":
		return failure.Retry(failure.DynamoDBError, "table %q: %w", table, err)
	case "InvalidSignatureException": // of a wrong secret, or of a clock that the SDK corrects by the answer
		return failure.Retry(failure.DynamoDBError, "table %q: %w; check the AWS credentials and this machine's clock", table, err)
	case "ResourceNotFoundException":
		remedy = "check the table's name in the run file, AWS_REGION and the account of the credentials"
	case "ValidationException":
		remedy = "check that partition_key and sort_key in the run file have the names and types of the table's keys"
	case "AccessDeniedException":
		remedy = "allow dynamodb:BatchGetItem on the table"
	case "UnrecognizedClientException", "MissingAuthenticationTokenException", "IncompleteSignatureException":
		remedy = "check the AWS credentials"
	default:
		return failure.Permanent(failure.DynamoDBError, "table %q: %w", table, err)
	}
	return failure.Permanent(failure.DynamoDBError, "table %q: %w; %s", table, err, remedy)
}

// pause is how long a call waits before it asks again. It grows while most keys stay
// unanswered, so that a table that is short of capacity is asked less often.
type pause struct {
	n    int // pauses since most keys were answered
	vain int // pauses since any key was answered
}

// answered notes that so many of the keys asked for were answered.
func (p *pause) answered(settled, asked int) {
	if settled > 0 {
		p.vain = 0
	}
	if 2*settled >= asked {
		p.n = 0
	}
}

// wait pauses before keys are asked for again; err is why none was answered, or nil if
// DynamoDB named them as unprocessed. After too many pauses in vain it gives an error
// that is no failed attempt.
func (p *pause) wait(ctx context.Context, table string, keys int, err error) error {
	if p.vain == pauses {
		if err == nil {
			err = fmt.Errorf("%d keys stay unprocessed", keys)
		}
		return failure.RetryAfter(jitter(maxPause), failure.DynamoDBError,
			"table %q is throttled: %w; more read capacity would end the wait", table, err)
	}
	ceiling := min(minPause<<min(p.n, 16), maxPause)
	p.n++
	p.vain++
	timer := time.NewTimer(rand.N(ceiling))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter gives a time between d/2 and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }
