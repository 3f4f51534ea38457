package dynamofetcher

import (
	"context"

	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/forecast"
)

// spending is what one call takes of the run's budget of read units.
type spending struct {
	purse    *budget.Purse // nil = there is no budget
	reserved float64
	units    float64 // used, by DynamoDB's answer
}

// begin reserves what a call for so many keys may take. Its error says to make the call
// later: the leader ends the run when its budget is used up.
func (s *spending) begin(ctx context.Context, f *fetch, keys int) error {
	if f.stage.cfg.Purse == nil {
		return nil
	}
	purse := f.stage.cfg.Purse(f.of)
	if purse == nil {
		return nil
	}
	least := forecast.Units(0, f.of.File.DynamoDB.ConsistentRead)
	reserved, err := purse.Take(ctx, keys, least)
	if err != nil {
		return &outputError{err}
	}
	s.purse, s.reserved = purse, reserved
	return nil
}

// end says what the call has taken, and how many keys it has answered.
func (s *spending) end(settled int) {
	if s.purse != nil {
		s.purse.Settle(s.reserved, s.units, settled)
	}
}
