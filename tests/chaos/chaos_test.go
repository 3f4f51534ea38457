// Package chaos kills the real programs more often than the end-to-end tests do.
package chaos

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) {
	if os.Getenv("FFF_CHAOS") == "" {
		fmt.Println("chaos: nothing is killed unless FFF_CHAOS is set; `make chaos` sets it")
		return
	}
	os.Exit(harness.Main(m))
}

// kills is how often the system is killed; FFF_CHAOS_KILLS changes it.
const kills = 20

func TestKilledAgainAndAgain(t *testing.T) {
	n := kills
	if text := os.Getenv("FFF_CHAOS_KILLS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("FFF_CHAOS_KILLS: %v", err)
		}
	}
	harness.KillOften(t, n, 1500, true)
}
