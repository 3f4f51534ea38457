package sandbox

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Truth says what a dataset that was made with a sandbox must hold.
type Truth struct {
	families map[string]*familyTruth
}

type familyTruth struct {
	synth  *dynamodb.Synth // nil = not cached
	family *values.Family
}

// NewTruth prepares the truth of a run, whose file is expanded, on a sandbox with the
// given settings.
func NewTruth(cfg Config, f *runfile.File) (*Truth, error) {
	t := &Truth{families: map[string]*familyTruth{}}
	synths := map[string]*dynamodb.Synth{}
	for _, family := range f.Families {
		one := &familyTruth{family: values.NewFamily(family, cfg.FeaturesPerFamily)}
		t.families[family.ID] = one
		if !family.Cached {
			continue
		}
		table := cmp.Or(family.Table, f.DynamoDB.Table)
		if synths[table] == nil {
			y, err := dynamodb.NewSynth(f, table, cfg.synth())
			if err != nil {
				return nil, fmt.Errorf("sandbox: %w", err)
			}
			synths[table] = y
		}
		one.synth = synths[table]
	}
	return t, nil
}

// Cached says whether DynamoDB has an item for a cell; if not, the feature service is
// asked for it.
func (t *Truth) Cached(userID string, epochMS int64, family string) bool {
	one, ok := t.families[family]
	return ok && one.synth != nil && one.synth.Hit(userID, family, epochMS)
}

// Values gives a cell's values by feature name, as they come from DynamoDB if it has an
// item, or else from the feature service.
func (t *Truth) Values(userID string, epochMS int64, family string) iter.Seq2[string, values.V] {
	one, ok := t.families[family]
	if !ok {
		return func(func(string, values.V) bool) {}
	}
	if t.Cached(userID, epochMS, family) {
		if cached, row, ok := one.synth.Row(userID, family, epochMS); ok {
			return cached.All(row)
		}
	}
	return one.family.All(one.family.Row([]byte(userID), epochMS))
}
