package monitor

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// cure says what to do about bad data.
func cure(rule string) string {
	return "look at how the family is computed, and run again: what is committed stays, and only a new run fetches it anew; if all is well, let failure_policy.data." + rule + " warn"
}

// nullRatio looks for features of which too many values are null. One that has not come at
// all is missing, which is another rule's.
func nullRatio(over float64) verdict {
	return verdict{
		broken: func(f *feature) bool {
			v := f.recent.sum()
			return v.rows >= MinCells && v.absent < v.rows && float64(v.null) > over*float64(v.rows)
		},
		detail: func(f *feature) string { v := f.recent.sum(); return percent(v.null, v.rows) },
		cause:  "features of family %s are null in more than " + strings.ReplaceAll(share(over), "%", "%%") + " of the rows: %s",
		cure:   cure("null_ratio"),
	}
}

// notFinite looks for NaN and infinities.
func notFinite(over float64) verdict {
	return verdict{
		broken: func(f *feature) bool {
			v := f.recent.sum()
			return v.rows >= MinCells && float64(v.notFinite) > over*float64(v.rows-v.null)
		},
		detail: func(f *feature) string {
			v := f.recent.sum()
			return fmt.Sprintf("%s of %s", humanize.Comma(v.notFinite), humanize.Comma(v.rows-v.null))
		},
		cause: "features of family %s hold NaN or infinities: %s",
		cure:  cure("not_finite"),
	}
}

// constant looks for features that have one and the same value, nulls aside.
var constant = verdict{
	broken: func(f *feature) bool {
		v := f.recent.sum()
		return v.changes == 0 && v.rows-v.null >= MinCells
	},
	detail: func(f *feature) string { v := f.recent.sum(); return humanize.Comma(v.rows-v.null) + " values" },
	cause:  "features of family %s have one and the same value everywhere: %s",
	cure:   cure("constant"),
}

// missingFeature looks for features of the schema that do not come any more, or never came.
var missingFeature = verdict{
	broken: func(f *feature) bool {
		v := f.recent.sum()
		return f.known && v.rows >= MinCells && v.absent == v.rows
	},
	cause: "features of family %s are missing, which it declares or had at first: %s",
	cure:  cure("missing_feature"),
}

// newFeature looks for features that came when the schema was complete.
var newFeature = verdict{
	broken: func(f *feature) bool { return f.added },
	cause:  "family %s has features that it neither declares nor had at first: %s",
	cure:   cure("new_feature"),
}

// typeDrift looks for features whose values are of another kind than at first. The writer
// sees to types that are declared.
var typeDrift = verdict{
	broken: func(f *feature) bool { return f.drifted != 0 },
	detail: func(f *feature) string { return fmt.Sprintf("%s, at first %s", f.drifted, f.kinds) },
	cause:  "features of family %s are of another type than at first: %s",
	cure:   cure("type_drift"),
}

// declaredDrift looks for cells that failed because a value does not fit its declared type.
type declaredDrift struct{ told bool }

func (r *declaredDrift) judge(o *Observation, report func(cause, cure string)) {
	if r.told || o.Drifted == 0 || o.Settled < MinCells {
		return
	}
	r.told = true
	report(fmt.Sprintf("cells with values that do not fit the declared types: %s; the last: %s", humanize.Comma(o.Drifted), o.Drift),
		"correct the data and run again: failed cells are tried again; another declaration needs a new run")
}
