// Package chaos kills the real programs more often than the end-to-end tests do.
package chaos

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) {
	if os.Getenv("FFF_CHAOS") == "" {
		fmt.Println("chaos: nothing is killed unless FFF_CHAOS is set; `make chaos` sets it")
		return
	}
	os.Exit(harness.Main(m))
}

// Bounds of what is done; FFF_CHAOS_KILLS and FFF_CHAOS_ROUNDS change them.
const (
	kills  = 20
	rounds = 30
)

// The system in one process is killed at random moments and run again.
func TestKilledAgainAndAgain(t *testing.T) {
	harness.KillOften(t, number(t, "FFF_CHAOS_KILLS", kills), 1500, true)
}

// The system in many processes goes through rounds of faults, each with a job of its own.
// FFF_TEST_SEED repeats them, and -run TestRounds/7 with it the seventh alone.
func TestRounds(t *testing.T) {
	r := &report{seed: harness.Seed(t), wanted: number(t, "FFF_CHAOS_ROUNDS", rounds), began: time.Now()}
	defer r.write(t)
	for n := range r.wanted {
		t.Run(strconv.Itoa(n+1), func(t *testing.T) {
			o := outcome{round: draw(t, r.seed, n+1)}
			began := time.Now()
			defer func() {
				o.took, o.failed, o.skipped = time.Since(began), t.Failed(), t.Skipped()
				r.rounds = append(r.rounds, o)
				if o.failed {
					t.Logf("again: FFF_CHAOS=1 FFF_TEST_SEED=%d go test -v -count=1 -run 'TestRounds/%d$' ./chaos", r.seed, n+1)
				}
			}()
			o.round.run(t, &o)
		})
	}
}

// number gives the number in a variable, or a default.
func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}
