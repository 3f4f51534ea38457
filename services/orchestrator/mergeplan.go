package orchestrator

import (
	"maps"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
)

// Bounds of a merge.
const (
	// leastMerged is how many files are worth being merged to less than the target: fewer
	// cost more than they hinder a reader, and a short run ends at once.
	leastMerged = 8
	// largestMerged bounds the files that are read for a merge: each is in memory as a whole.
	largestMerged = 64 << 20
	// mergedRows bounds the rows of a merged file, whose completion index is in memory.
	mergedRows = 1_000_000
)

// mergeGroup is files that are merged, family by family. They get one completion index
// together: one for each file would name each sample once for each family.
type mergeGroup map[string][]commitlog.File // by family

// families gives the families of the group, sorted.
func (g mergeGroup) families() []string { return slices.Sorted(maps.Keys(g)) }

// atOnce is how many of the group's families are merged at the same time, so many at the most:
// those whose files are larger than a row group in memory one after the other.
func (g mergeGroup) atOnce(most int) int {
	for _, files := range g {
		if slices.ContainsFunc(files, func(f commitlog.File) bool { return f.Bytes > mergedGroupBytes }) {
			return 1
		}
	}
	return min(most, len(g))
}

// planMerges gathers the files of each family, in their order, to files of so many bytes, and
// the first ones of all families to a group, the second ones, and so on: where families are
// much alike a group's are of the same parts. A file of half as many bytes stays as it is, as
// does one that is too large to be read at once: so what was merged is not merged again, until
// there is as much more.
func planMerges(files []commitlog.File, target int64, least int) []mergeGroup {
	small := min(target/2, largestMerged)
	byFamily := map[string][]commitlog.File{}
	for _, f := range files {
		if f.Bytes < small {
			byFamily[f.Family] = append(byFamily[f.Family], f)
		}
	}
	var groups []mergeGroup
	for family, files := range byFamily {
		for i, some := range planFamily(files, target, least) {
			if i == len(groups) {
				groups = append(groups, mergeGroup{})
			}
			groups[i][family] = some
		}
	}
	return groups
}

// planFamily gathers the files of a family.
func planFamily(files []commitlog.File, target int64, least int) (lists [][]commitlog.File) {
	for len(files) > 0 {
		n, size, rows := 0, int64(0), int64(0)
		for n < len(files) && n < commitlog.MaxMergedFiles && size+files[n].Bytes <= target && rows+files[n].Rows <= mergedRows {
			size, rows, n = size+files[n].Bytes, rows+files[n].Rows, n+1
		}
		full := n < len(files)
		n = max(n, 1) // one that alone has too many rows stays
		if n > 1 && (full || n >= least) {
			lists = append(lists, files[:n])
		}
		files = files[n:]
	}
	return lists
}
