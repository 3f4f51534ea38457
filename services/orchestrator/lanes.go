package orchestrator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Lanes are found by a gap. The families that the feature service was asked for are put in
// the order of what they took; where the largest gap between two neighbours is so many
// times, those above it are slow. Without such a gap all are fast: they may as well travel
// together.
const (
	slowGap    = 3.0
	quick      = 5 * time.Millisecond // what takes less is not told apart: the way there takes as long
	leastTimed = 64                   // answers of a family, over all instances: the first ones tell of a busy start
)

// findLanes says which families of the lane auto are fast, once enough answers were timed. A
// family is looked at again only when there is news of another: what is decided stays so,
// though a service may have its moments.
func (j *job) findLanes(ctx context.Context) error {
	if !j.rec.State.Working() || !j.file.HasAuto() {
		return nil
	}
	took := j.answerTimes()
	timed := 0
	for i := range j.file.Families {
		if f := &j.file.Families[i]; f.Lane == runfile.LaneAuto && took[f.ID] > 0 {
			timed++
		}
	}
	if timed <= j.watch.timed {
		return nil
	}
	fast := fastFamilies(j.file, took, j.rec.Fast)
	if !slices.Equal(fast, j.rec.Fast) {
		j.log.Info().Strs("fast", fast).Int("timed", timed).Msg("the lanes of families were found anew")
		if err := j.put(ctx, func(r *runs.Record) { r.Fast = fast }); err != nil {
			return err
		}
	}
	j.watch.timed = timed
	return nil
}

// answerTimes gives what each family takes, of those of which enough answers were timed.
func (j *job) answerTimes() map[string]time.Duration {
	if j.s.beats == nil {
		return nil
	}
	total, count := map[string]time.Duration{}, map[string]int64{}
	for _, b := range j.s.beats.Beats() {
		run, ok := b.Runs[j.rec.Run]
		if !ok || run.Epoch != j.rec.Epoch || b.Service != services[stage.FSFast] && b.Service != services[stage.FSSlow] {
			continue
		}
		for family, n := range run.Families {
			total[family] += time.Duration(n.Timed) * n.Took
			count[family] += n.Timed
		}
	}
	maps.DeleteFunc(total, func(family string, _ time.Duration) bool { return count[family] < leastTimed })
	for family := range total {
		total[family] /= time.Duration(count[family])
	}
	return total
}

// fastFamilies gives the families of the lane auto that are fast. Those of which nothing is
// known are what they were before.
func fastFamilies(file *runfile.File, took map[string]time.Duration, before []string) []string {
	type family struct {
		id   string
		took time.Duration
	}
	var order []family
	for i := range file.Families {
		if f := &file.Families[i]; f.Lane != runfile.LaneSlow && took[f.ID] > 0 {
			order = append(order, family{f.ID, max(quick, took[f.ID])})
		}
	}
	slices.SortFunc(order, func(a, b family) int { return cmp.Compare(a.took, b.took) })
	fastest, gap := len(order), slowGap
	for i := 1; i < len(order); i++ {
		if g := float64(order[i].took) / float64(order[i-1].took); g >= gap {
			fastest, gap = i, g
		}
	}
	var fast []string
	for i := range file.Families {
		f := &file.Families[i]
		if f.Lane != runfile.LaneAuto {
			continue
		}
		at := slices.IndexFunc(order, func(o family) bool { return o.id == f.ID })
		if at < 0 && slices.Contains(before, f.ID) || at >= 0 && at < fastest {
			fast = append(fast, f.ID)
		}
	}
	return fast
}

// run gives the run as stages see it.
func (j *job) run() *stage.Run { return j.rec.Stage(j.file) }

// lanes tells on which lanes families are asked for whose lane is auto.
func (j *job) lanes() map[string]string {
	if j.file == nil || !j.file.HasAuto() {
		return nil
	}
	run, lanes := j.run(), map[string]string{}
	for i := range j.file.Families {
		if f := &j.file.Families[i]; f.Lane == runfile.LaneAuto {
			lanes[f.ID] = string(run.Lane(f))
		}
	}
	return lanes
}
