// Package warmup tests that what a run scales up comes down: real processes on stand-ins for
// DynamoDB and RDS, ended in every way there is. What tables and databases have is read over
// the wire, before, during and after.
package warmup

import (
	"flag"
	"os"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// parallel is how many tests go on at a time unless -parallel says it: they wait, for leases
// and for databases, far more than they work.
const parallel = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallel); err != nil {
			panic(err)
		}
	}
	os.Exit(harness.Main(m))
}
