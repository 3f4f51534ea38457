package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// kind is what goes wrong.
type kind string

const (
	killOne       kind = "kill -9 of an instance"
	killSeveral   kind = "kill -9 of several at once"
	killService   kind = "kill -9 of all instances of a service"
	killLeader    kind = "kill -9 of the leader"
	pauseShort    kind = "pause shorter than the lease"
	pauseLong     kind = "pause past the lease"
	pauseLeader   kind = "pause of the leader past its lease"
	terminate     kind = "SIGTERM, and a new start"
	cutOff        kind = "connections to the broker cut"
	hang          kind = "packets to and from the broker held up"
	killBroker    kind = "kill -9 of the broker"
	pauseBroker   kind = "pause of the broker"
	scaleUp       kind = "one instance more"
	scaleDown     kind = "one instance less"
	killSubmitter kind = "kill -9 of who submitted, and again"
	killS3        kind = "kill -9 of the S3 server"

	// These two wait for a moment near the end of the job.
	killFinaliser  kind = "kill -9 of the leader as it finalises"
	pauseFinaliser kind = "pause of the leader as it finalises"
)

var kinds = []kind{
	killOne, killSeveral, killService, killLeader, pauseShort, pauseLong, pauseLeader, terminate,
	cutOff, hang, killBroker, pauseBroker, scaleUp, scaleDown, killSubmitter, killS3,
	killFinaliser, pauseFinaliser,
}

// anytime is how many of the kinds, from the first on, may come at any time.
var anytime = slices.Index(kinds, killFinaliser)

// lastSteps are files that tell of the steps in which a job is finalised.
var lastSteps = []string{"_commits/*-requested", "_schema.yaml", "_manifest.json", "_failures.jsonl", "_SUCCESS"}

// fault is something that goes wrong and is put right again.
type fault struct {
	kind    kind
	after   time.Duration // the fault before it, or the start
	lasts   time.Duration // until it is put right
	service string        // of whose instances one is hit
	pick    uint64        // which one, modulo how many there are then
}

func (f fault) String() string {
	return fmt.Sprintf("%s (%s, for %s)", f.kind, f.service, f.lasts)
}

// round is what happens in one round. It follows from the seed and the number.
type round struct {
	number  int
	job     *harness.Job
	onS3    bool          // the dataset goes to S3
	each    int           // instances of each service at the start
	ackWait time.Duration // of the broker
	faults  []fault
	ending  fault  // when the rest is over, at the moment when
	at      string // files of this pattern are there; "" = none
}

// draw draws a round.
func draw(t *testing.T, seed uint64, number int) *round {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	r := &round{number: number, each: 1 + random.IntN(3), ackWait: 5 * time.Second}
	if random.IntN(6) == 0 {
		r.ackWait = 30 * time.Second // as it is where nobody has set it
	}
	r.job = drawJob(t, random)
	r.job.Run = fmt.Sprintf("round-%d", number)
	r.job.Env["FFF_ACK_WAIT"] = r.ackWait.String()
	r.onS3 = random.IntN(3) == 0
	for range 5 + random.IntN(9) {
		f := drawFault(random, kinds[random.IntN(anytime)], r.ackWait)
		if f.kind == killS3 && !r.onS3 {
			f.kind = killOne
		}
		r.faults = append(r.faults, f)
	}
	if n := random.IntN(2 * len(lastSteps)); n < len(lastSteps) {
		r.at, r.ending = lastSteps[n], drawFault(random, kinds[anytime+random.IntN(2)], r.ackWait)
	}
	return r
}

func drawJob(t *testing.T, random *rand.Rand) *harness.Job {
	t.Helper()
	j := harness.Killable(t, 600+random.IntN(1200))
	j.Layout = []string{"attributes", "map:payload", "json:document"}[random.IntN(3)]
	random.Shuffle(len(j.Families), func(a, b int) { j.Families[a], j.Families[b] = j.Families[b], j.Families[a] })
	j.Families = j.Families[:6+random.IntN(len(j.Families)-5)]
	j.Sandbox.HitRatio = []float64{0, 0.5, 0.7, 0.95, 1}[random.IntN(5)]
	// Slow enough to last until something goes wrong.
	j.Sandbox.DynamoDBLatency = time.Duration(100+random.IntN(900)) * time.Millisecond
	j.Sandbox.FastMin, j.Sandbox.FastMax = 5*time.Millisecond, 30*time.Millisecond
	j.Sandbox.SlowMin, j.Sandbox.SlowMax = 20*time.Millisecond, 150*time.Millisecond
	j.Sandbox.Threads = 6 + random.IntN(10)
	j.Env["FFF_WRITER_PART_AGE"] = []string{"100ms", "200ms", "1s", "3s"}[random.IntN(4)]
	families := j.File(t).FamilyIDs()
	for i := range j.Records {
		if random.IntN(4) == 0 { // only some of the families
			some := slices.Clone(families)
			random.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
			j.Records[i].Families = some[:1+random.IntN(len(some))]
		}
		if random.IntN(20) == 0 { // asked for twice
			j.Records = append(j.Records, j.Records[i])
		}
	}
	return j
}

// leaderLease is how long a leader is believed in that is not heard of.
const leaderLease = 6 * time.Second

func drawFault(random *rand.Rand, k kind, ackWait time.Duration) fault {
	between := func(low, high time.Duration) time.Duration {
		return (low + time.Duration(random.Int64N(int64(high-low)))).Round(time.Millisecond)
	}
	f := fault{
		kind:    k,
		after:   between(0, 1500*time.Millisecond),
		service: harness.Services[random.IntN(len(harness.Services))],
		pick:    random.Uint64(),
	}
	switch f.kind {
	case pauseLong:
		f.lasts = between(ackWait, ackWait+3*time.Second)
	case pauseLeader, pauseFinaliser:
		f.lasts = between(leaderLease, leaderLease+4*time.Second)
	case cutOff, hang:
		f.lasts = between(100*time.Millisecond, 10*time.Second)
	default:
		f.lasts = between(0, 4*time.Second)
	}
	return f
}
