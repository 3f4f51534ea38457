package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

// failedRatio looks at the share of cells that fail, of each family in each stage and of
// each stage as a whole.
type failedRatio struct {
	over   float64
	window time.Duration
	places map[place]*placeCells
}

// place is a stage and a family; "" = all of them.
type place struct{ stage, family string }

type placeCells struct {
	seen   Cells // when it was looked at last
	recent window[Cells]
	told   bool
}

func (c Cells) plus(o Cells) Cells { return Cells{c.Fetched + o.Fetched, c.Failed + o.Failed} }
func (c Cells) weight() int64      { return c.Fetched + c.Failed }

// since gives how the counts grew. One that fell is of instances that are not heard any
// more, and begins anew.
func (c Cells) since(o Cells) Cells {
	if c.Fetched < o.Fetched || c.Failed < o.Failed {
		return Cells{}
	}
	return Cells{c.Fetched - o.Fetched, c.Failed - o.Failed}
}

func newFailedRatio(over float64, window time.Duration) *failedRatio {
	return &failedRatio{over: over, window: window, places: map[place]*placeCells{}}
}

func (r *failedRatio) judge(o *Observation, report func(cause, cure string)) {
	for where, cells := range cellsByPlace(o.Stages) {
		p := r.places[where]
		if p == nil {
			p = &placeCells{recent: window[Cells]{length: r.window, least: MinCells}}
			r.places[where] = p
		}
		p.recent.add(o.Now, cells.since(p.seen))
		p.seen = cells
	}
	for _, where := range r.broken() {
		n := r.places[where].recent.sum()
		what := "all families"
		if where.family != "" {
			what = "family " + where.family
		}
		cause := fmt.Sprintf("%s of the last %s cells of %s failed at %s, more than %s%s",
			percent(n.Failed, n.weight()), humanize.Comma(n.weight()), what, where.stage, share(r.over), mostly(o.Stages, where.stage))
		report(cause, "see `fff failed list`, cure what fails and run again: failed cells are tried again; or raise failure_policy.failed_ratio.over")
	}
}

// broken gives the places that fail too often and were not told of, families first: a stage
// as a whole is news only when none of its families is.
func (r *failedRatio) broken() []place {
	var all []place
	for where, p := range r.places {
		n := p.recent.sum()
		if !p.told && n.weight() >= MinCells && float64(n.Failed) > r.over*float64(n.weight()) {
			all = append(all, where)
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.stage, b.stage), -cmp.Compare(a.family, b.family))
	})
	var news []place
	for _, where := range all {
		r.places[where].told = true
		if where.family == "" && slices.ContainsFunc(news, func(p place) bool { return p.stage == where.stage }) {
			continue
		}
		news = append(news, where)
	}
	return news
}

// cellsByPlace adds up the cells of each stage. The writer fetches none: it fails some of
// those that all others have fetched.
func cellsByPlace(stages []Stage) map[place]Cells {
	all, fetched := map[place]Cells{}, map[string]int64{}
	for i := range stages {
		for family, n := range stages[i].Families {
			fetched[family] += n.Fetched
		}
	}
	for i := range stages {
		s := &stages[i]
		for family, n := range s.Families {
			if n.Fetched == 0 {
				n.Fetched = max(0, fetched[family]-n.Failed)
			}
			all[place{s.Name, family}] = n
			whole := place{s.Name, ""}
			all[whole] = all[whole].plus(n)
		}
	}
	return all
}

// mostly names the failure that a stage has met most often.
func mostly(stages []Stage, name string) string {
	var code string
	var most Attempts
	for i := range stages {
		if stages[i].Name != name {
			continue
		}
		for c, a := range stages[i].Attempts {
			if a.Count > most.Count || a.Count == most.Count && c < code {
				code, most = c, a
			}
		}
	}
	if code == "" {
		return ""
	}
	return fmt.Sprintf(" (mostly %s: %s)", code, most.Last)
}

// percent writes a part of a whole.
func percent(part, whole int64) string { return share(float64(part) / float64(max(whole, 1))) }

func share(ratio float64) string { return humanize.FtoaWithDigits(100*ratio, 2) + " %" }
