// Package fleet tests the system as people run it: each service in processes of its own,
// several of each, against a NATS server of its own; ended, paused, cut off and started
// again while a job goes on.
package fleet

import (
	"os"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.MainWithRace(m)) }
