package awsdynamodb

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock tells the time by which requests are signed: DynamoDB's, as its last answer had
// it. A signature that is five minutes off is refused, and the answer to it sets the clock.
type clock struct{ ahead atomic.Int64 } // nanoseconds of DynamoDB's clock before this machine's

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// set sets the clock by an answer that has just come. One out of a cache is older.
func (c *clock) set(header http.Header) {
	if header.Get("Age") != "" {
		return
	}
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		c.ahead.Store(int64(time.Until(at)))
	}
}
