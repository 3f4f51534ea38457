package orchestrator

import (
	"maps"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
)

// Bounds of a merge.
const (
	// leastMerged is how many parts are worth being merged: fewer cost more than they hinder
	// a reader, and a short run ends at once.
	leastMerged = 8
	// largestMerged bounds the files that are read for a merge: each is in memory as a whole.
	largestMerged = 64 << 20
	// mergedSamples bounds the samples of the parts that are merged together, whose completion
	// index is in memory.
	mergedSamples = 1_000_000
)

// mergeGroup is some parts whose files are merged, family by family. They get one completion
// index together: one for each file would name each sample once for each family.
type mergeGroup struct {
	parts   int
	samples int64                       // at the most
	files   map[string][]commitlog.File // by family
	bytes   map[string]int64            // of the files of a family
}

// families gives the families that have more than one file, sorted.
func (g *mergeGroup) families() []string {
	var all []string
	for _, f := range slices.Sorted(maps.Keys(g.files)) {
		if len(g.files[f]) > 1 {
			all = append(all, f)
		}
	}
	return all
}

// fits tells whether a part's files can join those of the group.
func (g *mergeGroup) fits(files []commitlog.File, target int64) bool {
	if g.parts == commitlog.MaxMergedFiles || g.samples+mostRows(files) > mergedSamples {
		return false
	}
	return !slices.ContainsFunc(files, func(f commitlog.File) bool { return g.bytes[f.Family]+f.Bytes > target })
}

func (g *mergeGroup) add(files []commitlog.File) {
	if g.files == nil {
		g.files, g.bytes = map[string][]commitlog.File{}, map[string]int64{}
	}
	g.parts++
	g.samples += mostRows(files)
	for _, f := range files {
		g.files[f.Family] = append(g.files[f.Family], f)
		g.bytes[f.Family] += f.Bytes
	}
}

// planMerges gathers parts, in their order, to groups in which no family has more than so
// many bytes. files are those of the dataset in order of their names, which are those of
// their parts. A part whose largest file has half of that, or is too large to be read at
// once, stays as it is: so what was merged is not merged again, until there is as much more.
func planMerges(files []commitlog.File, target int64, least int) []mergeGroup {
	small := min(target/2, largestMerged)
	var groups []mergeGroup
	var group mergeGroup
	end := func() {
		if group.parts >= least && len(group.families()) > 0 {
			groups = append(groups, group)
		}
		group = mergeGroup{}
	}
	for start := 0; start < len(files); {
		next := start + 1
		for next < len(files) && files[next].Name == files[start].Name {
			next++
		}
		part := files[start:next]
		start = next
		if slices.ContainsFunc(part, func(f commitlog.File) bool { return f.Bytes >= small }) {
			continue
		}
		if !group.fits(part, target) {
			end()
		}
		group.add(part)
	}
	end()
	return groups
}

func mostRows(files []commitlog.File) (most int64) {
	for i := range files {
		most = max(most, files[i].Rows)
	}
	return most
}
