package awsdynamodb

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Error is an error that DynamoDB, or what stands before it, answered; or one that keeps
// every call from being made.
type Error struct {
	Status  int      // HTTP status, 0 if the call was not made
	Code    string   // such as ResourceNotFoundException; the HTTP status in words if the body names none
	Message string   // "" if the body has none
	Reasons []string // of throttling, such as TableReadProvisionedThroughputExceeded
}

// Error gives code, reasons and message.
func (e *Error) Error() string {
	s := e.Code
	if len(e.Reasons) > 0 {
		s += " (" + strings.Join(e.Reasons, ", ") + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// HTTPStatus gives the HTTP status of the answer.
func (e *Error) HTTPStatus() int { return e.Status }

// ErrorCode gives DynamoDB's name of the error.
func (e *Error) ErrorCode() string { return e.Code }

// readError makes an *Error of an answer that is none.
func readError(response *http.Response) error {
	e := &Error{Status: response.StatusCode, Code: fmt.Sprintf("HTTP %d %s", response.StatusCode, http.StatusText(response.StatusCode))}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	if err != nil {
		return fmt.Errorf("read the answer of status %d: %w", response.StatusCode, err)
	}
	var wire struct {
		Type    string `json:"__type"`
		Message string // "message" or "Message": encoding/json minds no case
		Reasons []struct {
			Reason string
		} `json:"throttlingReasons"`
	}
	if json.Unmarshal(body, &wire) != nil {
		return e // a page of a proxy; the status says what is known
	}
	if wire.Type != "" {
		e.Code = wire.Type[strings.LastIndexByte(wire.Type, '#')+1:]
	}
	e.Message = wire.Message
	for _, r := range wire.Reasons {
		e.Reasons = append(e.Reasons, r.Reason)
	}
	return e
}
