// Package e2e tests the system by its real programs: started, fed, killed and resumed as a
// person would, and judged by what they leave behind.
package e2e

import (
	"os"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
