package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// submissions is how often a job is submitted at most: again where the orchestrator was
// away for longer than who submits has patience.
const submissions = 10

// play is a round that goes on.
type play struct {
	t     *testing.T
	round *round
	fleet *harness.Fleet
	who   *harness.Process // who submitted the job and follows it
	todo  []act            // in the order in which they are due

	s3Gone bool

	came *outcome
}

// act is something to be done at a time.
type act struct {
	at time.Time
	do func()
}

// run makes the faults of a round while its job goes on, and proves the job in the end. It
// notes in came what has been done.
func (r *round) run(t *testing.T, came *outcome) {
	t.Helper()
	if r.onS3 {
		r.job.S3 = harness.StartS3(t)
	}
	f := harness.NewFleet(t, r.job)
	p := &play{t: t, round: r, fleet: f, came: came}
	f.StartBroker()
	f.AddEach(r.each)
	p.submit()
	at := time.Now()
	for _, one := range r.faults {
		at = at.Add(one.after)
		p.later(at, func() { p.make(one) })
	}
	p.follow()
	p.heal()
	p.end()
	p.finish()
	p.prove()
}

func (p *play) submit() {
	p.t.Helper()
	p.came.submitted++
	p.who = p.fleet.Submit(p.round.job)
}

func (p *play) later(at time.Time, do func()) {
	p.todo = append(p.todo, act{at, do})
	slices.SortStableFunc(p.todo, func(a, b act) int { return a.at.Compare(b.at) })
}

// follow does what is due until all is done or the job has ended.
func (p *play) follow() {
	p.t.Helper()
	for len(p.todo) > 0 {
		next := p.todo[0]
		select {
		case <-p.who.Ended():
			if !p.again() {
				return
			}
			continue
		case <-time.After(time.Until(next.at)):
		}
		p.todo = p.todo[1:]
		next.do()
		p.fleet.Look(p.t, p.round.job)
	}
}

// end makes the fault that waits for a moment near the end of the job.
func (p *play) end() {
	p.t.Helper()
	if p.round.at == "" {
		return
	}
	var leader *harness.Instance
	harness.Await(p.t, "somebody leads", func() bool { leader = p.fleet.Leader(); return leader != nil || p.over() })
	come := harness.Once(p.round.job, 1, p.round.at)
	harness.Await(p.t, come.Name, func() bool { return come.Reached() || p.over() })
	if p.over() {
		return
	}
	p.t.Logf("%s, at %s", p.round.ending, come.Name)
	p.came.faults = append(p.came.faults, p.round.ending.kind)
	p.hit(leader, p.round.ending)
	p.follow()
	p.heal()
}

// heal puts right all that is wrong still.
func (p *play) heal() {
	p.t.Helper()
	p.startS3()
	p.fleet.Heal()
}

func (p *play) startS3() {
	p.t.Helper()
	if p.s3Gone {
		p.round.job.S3.Restart(p.t)
		p.s3Gone = false
	}
}

// over tells whether the job that was submitted has ended.
func (p *play) over() bool { return closed(p.who.Ended()) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// again submits the job again if it was given up for want of an orchestrator.
func (p *play) again() bool {
	p.t.Helper()
	r := p.who.Wait(p.t)
	if r.Code != 1 || p.came.submitted == submissions || !strings.Contains(r.Stderr, "no orchestrator answered") {
		return false
	}
	p.t.Logf("submitted again: %s", r.Stderr)
	p.submit()
	return true
}

// finish waits until the job has ended.
func (p *play) finish() {
	p.t.Helper()
	for p.who.Wait(p.t); p.again(); p.who.Wait(p.t) {
	}
	p.who.Wait(p.t).Expect(p.t, 0)
}

// prove proves the dataset, that no process has ended unasked, and that all end well when
// they are asked to.
func (p *play) prove() {
	p.t.Helper()
	p.round.job.Verify(p.t, 0)
	p.round.job.Prove(p.t, nil)
	for _, i := range p.fleet.Each() {
		i.Term()
	}
	for _, i := range p.fleet.Each() {
		if code := i.Wait(p.t); code != 0 && code != -1 {
			p.t.Errorf("%s: exit code %d after SIGTERM, want 0", i.Name, code)
		}
	}
	for _, how := range p.fleet.Crashes() {
		p.t.Error(how)
	}
}

// make makes a fault, and sees to its end.
func (p *play) make(f fault) {
	p.t.Helper()
	p.t.Logf("%s", f)
	p.came.faults = append(p.came.faults, f.kind)
	switch f.kind {
	case killBroker:
		p.fleet.Broker.Kill()
		p.later(time.Now().Add(f.lasts), p.fleet.StartBroker)
	case pauseBroker:
		p.fleet.Broker.Pause()
		p.later(time.Now().Add(f.lasts), p.fleet.Broker.Resume)
	case killS3:
		p.round.job.S3.Kill()
		p.s3Gone = true
		p.later(time.Now().Add(f.lasts), p.startS3)
	case scaleUp:
		p.fleet.Add(f.service)
	case killSubmitter:
		p.who.Kill()
		p.submit()
	default:
		for _, i := range p.targets(f) {
			p.hit(i, f)
		}
	}
}

// hit makes a fault in an instance.
func (p *play) hit(i *harness.Instance, f fault) {
	cure := func() { i.Start(p.t) }
	switch f.kind {
	case pauseShort, pauseLong, pauseLeader, pauseFinaliser:
		i.Pause()
		cure = i.Resume
	case terminate:
		gone, told := i.Term(), time.Now()
		cure = func() {
			if closed(gone) {
				i.Start(p.t)
				return
			}
			if time.Since(told) > harness.Patience {
				p.t.Fatalf("%s has not ended within %s of SIGTERM", i.Name, harness.Patience)
			}
			i.Resume() // it may have been paused meanwhile
			// Not awaited: it may wait for a broker that is yet to be woken.
			p.later(time.Now().Add(time.Second), cure)
		}
	case scaleDown:
		i.Term()
		return
	case cutOff:
		i.Link.Cut()
		cure = i.Link.Heal
	case hang:
		i.Link.Hang()
		cure = i.Link.Heal
	default:
		i.Kill()
	}
	p.later(time.Now().Add(f.lasts), cure)
}

// targets chooses the instances that a fault hits.
func (p *play) targets(f fault) []*harness.Instance {
	of := p.fleet.Of(f.service)
	one := of[f.pick%uint64(len(of)):][:1]
	switch f.kind {
	case killService:
		return of
	case killSeveral:
		random := rand.New(rand.NewPCG(f.pick, 0))
		return slices.DeleteFunc(p.fleet.Each(), func(*harness.Instance) bool { return random.IntN(2) == 0 })
	case killLeader, pauseLeader:
		if leader := p.fleet.Leader(); leader != nil {
			return []*harness.Instance{leader}
		}
	}
	return one
}
