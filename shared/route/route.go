// Package route sends requests where the run file says: cached families to DynamoDB, the
// others to their lane of the feature service.
package route

import (
	"context"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Lane gives the stage that asks the feature service for a family.
func Lane(run *stage.Run, f *runfile.Family) stage.Name {
	if run.Lane(f) == runfile.LaneSlow {
		return stage.FSSlow
	}
	return stage.FSFast
}

// Send sends a sample's families on their ways. Its uncached fast families travel with the
// cached ones, so that they and the misses make one request to the feature service.
// Families that the run file does not know are left out.
func Send(ctx context.Context, run *stage.Run, r *work.Request, out stage.Outputs) error {
	var cached, fast []string
	for _, id := range r.Families {
		f, ok := run.File.Family(id)
		switch {
		case !ok:
		case f.Cached:
			cached = append(cached, id)
		case Lane(run, f) == stage.FSFast:
			fast = append(fast, id)
		default:
			if err := out.Request(ctx, stage.FSSlow, r.With([]string{id})); err != nil {
				return err
			}
		}
	}
	if len(cached) > 0 {
		both := r.With(cached)
		both.Direct = fast
		return out.Request(ctx, stage.Dynamo, both)
	}
	if len(fast) > 0 {
		return out.Request(ctx, stage.FSFast, r.With(fast))
	}
	return nil
}
