package allinone_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/testport"
)

// What came into the broker is among the metrics while the process lives, and in its log when
// it ends.
func TestTrafficOfTheBrokerIsTold(t *testing.T) {
	addr := testport.Addr(testport.Free(t))
	t.Setenv("FFF_HTTP_ADDR", addr)
	s := startOn(t, job{}, t.TempDir(), t.TempDir()) // not beside others: the setting is the process's
	answer, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^fff_broker_in_messages_total [1-9]`,
		`(?m)^fff_broker_in_bytes_total [1-9]`,
		`(?m)^fff_broker_stored_messages_total{stream="FFF_INGEST"} 0$`,
	} {
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("the metrics have nothing of the form %s:\n%s", want, text)
		}
	}
	s.end()
	if log := s.log.String(); !strings.Contains(log, "the embedded broker stops") || !strings.Contains(log, `"in_msgs":`) {
		t.Errorf("the log does not tell of the traffic:\n%s", log)
	}
}
