package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Error is an error as DynamoDB answers it.
type Error struct {
	Status  int    // HTTP status
	Code    string // such as ProvisionedThroughputExceededException
	Message string
	Reasons []ThrottlingReason
}

// ThrottlingReason says why a call was throttled.
type ThrottlingReason struct {
	Reason   string `json:"reason"`   // such as TableReadProvisionedThroughputExceeded
	Resource string `json:"resource"` // ARN of the table
}

// Error gives code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Throttled is the error of a call of which nothing was processed because the table's
// provisioned capacity is used up.
func Throttled(table string) *Error {
	e := errorf(http.StatusBadRequest, "ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.")
	e.Reasons = []ThrottlingReason{{Reason: "TableReadProvisionedThroughputExceeded", Resource: arn(table)}}
	return e
}

// InternalServerError is DynamoDB's HTTP 500.
func InternalServerError() *Error {
	return errorf(http.StatusInternalServerError, "InternalServerError", "Internal server error")
}

func errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error {
	return errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func tableNotFound(name string) *Error {
	return errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

// namespaces of the error types that the service's model does not own.
var namespaces = map[string]string{
	"ValidationException":       "com.amazon.coral.validate",
	"UnknownOperationException": "com.amazon.coral.service",
	"SerializationException":    "com.amazon.coral.service",
	"ThrottlingException":       "com.amazon.coral.availability",
}

// body gives the error's wire form.
func (e *Error) body() []byte {
	namespace, ok := namespaces[e.Code]
	if !ok {
		namespace = "com.amazonaws.dynamodb.v20120810"
	}
	wire := struct {
		Type         string             `json:"__type"`
		Message      string             `json:"message"`
		Reasons      []ThrottlingReason `json:"ThrottlingReasons,omitempty"`
		LowerReasons []ThrottlingReason `json:"throttlingReasons,omitempty"`
	}{Type: namespace + "#" + e.Code, Message: e.Message}
	if e.Code == "ThrottlingException" { // the one whose member begins with a small letter
		wire.LowerReasons = e.Reasons
	} else {
		wire.Reasons = e.Reasons
	}
	text, err := json.Marshal(wire)
	if err != nil { // there is nothing in it that cannot be encoded
		return []byte(`{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}`)
	}
	return text
}

// decode reads a request into one of the input types.
func decode(body []byte, in any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return unknownParameter(strings.Trim(field, `"`))
		}
		return errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errorf(http.StatusBadRequest, "SerializationException", "something follows the request")
	}
	return nil
}
