package writer

import (
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// drift finds the rows of a block that do not fit the declared types, and adds them to
// what is to be reported.
func (a *assembly) drift(p *packed.Message, block *packed.BlockView, declared []runfile.Feature, report **drift) map[int]bool {
	rows, feature := dataset.DriftRows(block, declared)
	if len(rows) == 0 {
		return nil
	}
	if *report == nil {
		*report = &drift{family: block.Family, feature: feature}
	}
	bad := make(map[int]bool, len(rows))
	for _, row := range rows {
		bad[row] = true
		s := p.Samples[block.SampleOf[row]]
		(*report).cells.Requests = append((*report).cells.Requests, work.Request{UserID: string(s.UserID), EpochMS: s.EpochMS, Families: []string{block.Family}})
	}
	return bad
}
