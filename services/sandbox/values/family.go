package values

import (
	"iter"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

var (
	subjects = [...]string{"txn", "loan", "sms", "call", "login", "topup", "session", "device", "payment", "contact", "visit", "order"}
	measures = [...]string{"count", "amount_sum", "amount_mean", "amount_max", "ratio", "days_since_last", "distinct", "trend"}
	windows  = [...]string{"1d", "7d", "14d", "30d", "60d", "90d", "180d", "365d"}
)

// Features gives the names of the n features that the sandbox serves for a family
// whose features the run file does not declare.
func Features(family string, n int) []string {
	const all = uint64(len(subjects) * len(measures) * len(windows))
	start := xxh3.HashString(family)
	names := make([]string, n)
	for i := range names {
		// 85 and all have no common factor: the steps meet every combination once.
		at := (start + uint64(i)*85) % all
		name := subjects[at%12] + "_" + measures[at/12%8] + "_" + windows[at/96]
		if round := uint64(i) / all; round > 0 {
			name += "_" + strconv.FormatUint(round+1, 10)
		}
		names[i] = name
	}
	return names
}

// Family is a family with the features that the sandbox serves for it.
type Family struct {
	ID       string
	hash     uint64
	features []feature
}

// NewFamily prepares a family of n features. Features that the run file declares come
// first and have the declared type; they are served even if there are more than n.
func NewFamily(f runfile.Family, n int) *Family {
	out := &Family{ID: f.ID, hash: xxh3.HashString(f.ID)}
	for _, d := range f.Features {
		c := newFeature(f.ID, d.Name)
		c.kind = kinds[d.Type]
		out.features = append(out.features, c)
	}
	for _, name := range Features(f.ID, n) {
		declared := slices.ContainsFunc(f.Features, func(d runfile.Feature) bool { return d.Name == name })
		if len(out.features) < n && !declared {
			out.features = append(out.features, newFeature(f.ID, name))
		}
	}
	return out
}

var kinds = map[runfile.Type]Kind{runfile.Double: Double, runfile.Int64: Int64, runfile.Bool: Bool, runfile.String: String}

// Len counts the features.
func (f *Family) Len() int { return len(f.features) }

// Row gives what the family's values for a user at a point in time (epoch
// milliseconds) are made from.
func (f *Family) Row(userID []byte, epochMS int64) Row { return rowOf(f.hash, userID, epochMS) }

// All gives the values of a row by the name of their feature.
func (f *Family) All(row Row) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for i := range f.features {
			if !yield(f.features[i].name, f.features[i].value(row)) {
				return
			}
		}
	}
}

// Append writes the members of a JSON object that holds a row: names and values with
// commas between them, without the braces.
func (f *Family) Append(dst []byte, row Row, form Form) []byte {
	var c cell
	for i := range f.features {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.features[i].quoted...)
		f.features[i].fill(&c, row)
		dst = c.append(dst, form)
	}
	return dst
}
