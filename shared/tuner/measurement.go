package tuner

import (
	"math"
	"time"
)

// measurement gathers samples of one level in batches, whose differences tell how sure the
// mean is.
type measurement struct {
	began   time.Time // of the open batch
	first   time.Time // beginning of the first
	open    Sample
	batches []Sample
	total   Sample
}

// add takes a sample. A batch is closed when it is old enough for several answers of a slot.
func (m *measurement) add(now time.Time, s Sample, cost time.Duration) {
	if m.first.IsZero() {
		m.first = m.began
	}
	m.open = m.open.plus(s)
	if now.Sub(m.began) < max(batch, cost/2) {
		return
	}
	m.batches = append(m.batches, m.open)
	m.total = m.total.plus(m.open)
	m.open, m.began = Sample{}, now
	if len(m.batches) > 2*mostBatches {
		*m = m.last(mostBatches)
	}
}

func (s Sample) plus(o Sample) Sample {
	return Sample{OK: s.OK + o.OK, Refused: s.Refused + o.Refused, Wanted: s.Wanted + o.Wanted, Offered: s.Offered + o.Offered}
}

func (m *measurement) sum() {
	m.total = Sample{}
	for _, b := range m.batches {
		m.total = m.total.plus(b)
	}
}

// last gives the last n batches.
func (m *measurement) last(n int) measurement {
	r := measurement{began: m.began, first: m.first, open: m.open, batches: append([]Sample(nil), m.batches[max(0, len(m.batches)-n):]...)}
	r.sum()
	return r
}

// enough tells whether something can be said; of a service that answers nothing it can
// after a while.
func (m *measurement) enough() bool {
	return len(m.batches) >= fewBatches && m.total.OK >= fewAnswers || len(m.batches) >= longBatches && m.began.Sub(m.first) >= longTime
}

// complete tells whether measuring on is not worth the time.
func (m *measurement) complete(now time.Time) bool {
	return len(m.batches) >= mostBatches || len(m.batches) >= longBatches && now.Sub(m.first) >= longTime
}

// perAnswer gives the slot time that an answer costs, in nanoseconds.
func (m *measurement) perAnswer() float64 {
	return float64(max(1, m.total.Wanted)) / math.Max(0.5, float64(m.total.OK))
}

// cost gives the same as a duration; 0 if nothing is known.
func (m *measurement) cost() time.Duration {
	if m.total.OK == 0 {
		return 0
	}
	return time.Duration(m.perAnswer())
}

// doubt gives the standard error of the logarithm of the cost.
func (m *measurement) doubt() float64 {
	n := float64(len(m.batches))
	least := scatter / math.Sqrt(math.Max(1, float64(m.total.OK)))
	if n < 2 {
		return math.Max(1, least)
	}
	cost, squares := m.perAnswer(), 0.0
	for _, b := range m.batches {
		d := float64(b.Wanted) - cost*float64(b.OK)
		squares += d * d
	}
	few := 1 + 2/(n-1) // a few batches may be alike by chance
	return math.Max(least, few*math.Sqrt(squares*n/(n-1))/float64(max(1, m.total.Wanted)))
}

// refuses tells whether more than a part of the answers refused, and more than one.
func (m *measurement) refuses(part float64) bool {
	t := m.total.plus(m.open)
	return t.Refused > 1 && float64(t.Refused) > part*float64(t.OK+t.Refused)
}

// use gives the part of the slots that was wanted.
func (m *measurement) use() float64 {
	if m.total.Offered <= 0 {
		return 1
	}
	return float64(m.total.Wanted) / float64(m.total.Offered)
}
