package chaos

import (
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// The same with the dataset in S3.
func TestKilledAgainAndAgainWithS3(t *testing.T) {
	harness.KillOftenOn(t, harness.StartS3(t), number(t, "FFF_CHAOS_KILLS", kills/2), 1500, true)
}
