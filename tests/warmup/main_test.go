// Package warmup tests that what a run scales up comes down: real processes on stand-ins for
// DynamoDB and RDS, ended in every way there is. What tables and databases have is read over
// the wire, before, during and after.
package warmup

import (
	"os"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
