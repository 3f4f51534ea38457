// Package failure names what can go wrong with a cell, a record or a batch, and
// says what is to be done about it.
//
// A plain error means: try again. An [*Error] says more: its code is one of a
// closed list that reaches the dead letters, the manifest and _failures.jsonl, and
// its action tells the runner whether to try again, to wait, or to give up.
package failure

import (
	"errors"
	"fmt"
	"time"
)

// Code says why a cell, a record or a batch failed. The list is closed and
// documented in docs/failures.md.
type Code string

// The codes of _failures.jsonl, the dead letters and `fff export`.
const (
	BadBatch          Code = "bad_batch"           // a batch that is no JSON, or not of the form that the contract gives
	BadRecord         Code = "bad_record"          // a record that breaks the contract
	AfterSeal         Code = "after_seal"          // a batch that arrived after the input was closed
	BadMessage        Code = "bad_message"         // an internal message that cannot be decoded
	Poison            Code = "poison"              // a message that was delivered too often and failed alone too
	BadItem           Code = "bad_item"            // a DynamoDB item that cannot be decoded
	DynamoDBError     Code = "dynamodb_error"      // DynamoDB refused or failed a call for good
	BadResponse       Code = "bad_response"        // an answer of the feature service that cannot be read
	MissingInResponse Code = "missing_in_response" // a family that the feature service's answer leaves out
	ServiceError      Code = "service_error"       // an error that the feature service names for a family
	ServerError       Code = "server_error"        // HTTP 5xx of the feature service
	Rejected          Code = "rejected"            // HTTP 3xx or 4xx of the feature service
	Timeout           Code = "timeout"             // no answer in time
	Unreachable       Code = "unreachable"         // no connection, or one that broke
	TooLarge          Code = "too_large"           // a cell above the largest size
	TypeDrift         Code = "type_drift"          // a value that does not fit its declared type
	Unaccounted       Code = "unaccounted"         // neither committed nor failed after every round of repair
	Internal          Code = "internal"            // everything else; a defect of ours
)

// Codes lists every code, in the order of the documentation.
func Codes() []Code {
	return []Code{
		BadBatch, BadRecord, AfterSeal, BadMessage, Poison, BadItem, DynamoDBError, BadResponse,
		MissingInResponse, ServiceError, ServerError, Rejected, Timeout, Unreachable, TooLarge,
		TypeDrift, Unaccounted, Internal,
	}
}

// Action is what the runner does about an error.
type Action int

// What can be done about an error.
const (
	TryAgain Action = iota // again in place with back-off, up to the attempts allowed
	GiveUp                 // a dead letter now
	HoldOn                 // again after Delay; it is no failed attempt
)

// Error is an error with a code and what to do about it.
type Error struct {
	Code   Code
	Action Action
	Delay  time.Duration // with HoldOn: how long to wait at least
	Err    error
}

// Error gives the reason without the code.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent is an error that trying again cannot cure. The format takes %w.
func Permanent(code Code, format string, args ...any) error {
	return &Error{Code: code, Action: GiveUp, Err: fmt.Errorf(format, args...)}
}

// Retry is an error that may be gone on the next attempt.
func Retry(code Code, format string, args ...any) error {
	return &Error{Code: code, Action: TryAgain, Err: fmt.Errorf(format, args...)}
}

// RetryAfter is a request to come back after d: throttling, back-pressure. It is
// no failed attempt.
func RetryAfter(d time.Duration, code Code, format string, args ...any) error {
	return &Error{Code: code, Action: HoldOn, Delay: d, Err: fmt.Errorf(format, args...)}
}

// As gives the *Error in err's chain; a plain error comes back as an Internal one
// to be tried again.
func As(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: Internal, Action: TryAgain, Err: err}
}
