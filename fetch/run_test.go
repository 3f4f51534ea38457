package fetch_test

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/fetch"
)

// A run of this process is not polled for its end: it tells.
func TestTheEndIsTold(t *testing.T) {
	run, err := fetch.Open(t.Context(), fetch.Config{RunFile: []byte(exampleFile), OutputDir: t.TempDir(), Sandbox: true, Pace: fetch.Pace{Poll: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	}()
	status, err := run.Fetch(t.Context(), monthEnds(10))
	if err != nil || status.Committed != 30 {
		t.Errorf("%+v, %v", status, err)
	}
}
