package orchestrator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

func TestPlanMerges(t *testing.T) {
	t.Parallel()
	const target = 100
	// of gives parts, each with its bytes by family.
	of := func(parts ...map[string]int64) (files []commitlog.File) {
		for i, p := range parts {
			for family, n := range p {
				files = append(files, commitlog.File{Family: family, Name: dataset.PartFile(1, fmt.Sprintf("%04d", i)), Rows: 1, Bytes: n})
			}
		}
		return files
	}
	many := func(n int, p map[string]int64) (parts []map[string]int64) {
		for range n {
			parts = append(parts, p)
		}
		return parts
	}
	for _, tc := range []struct {
		name  string
		files []commitlog.File
		want  []map[string]int // files by family
	}{
		{"nothing", nil, nil},
		{"too few", of(many(2, map[string]int64{"a": 10})...), nil},
		{"a large family does not end a small one's file", of(many(7, map[string]int64{"a": 30, "b": 1})...), []map[string]int{{"a": 3, "b": 7}, {"a": 3}}},
		{"few that fill a file are merged", of(many(4, map[string]int64{"a": 45})...), []map[string]int{{"a": 2}}},
		{"large files stay", of(slices.Concat(many(2, map[string]int64{"a": 20, "b": 1}), many(2, map[string]int64{"a": 50, "b": 1}), many(2, map[string]int64{"a": 20}))...), []map[string]int{{"a": 4, "b": 4}}},
		{"a part of each family", of(map[string]int64{"a": 1}, map[string]int64{"b": 1}, map[string]int64{"c": 1}), nil},
		{"what was merged stays", of(map[string]int64{"a": 90, "b": 7}, map[string]int64{"a": 90}, map[string]int64{"a": 30}), nil},
	} {
		var got []map[string]int
		for _, g := range planMerges(tc.files, target, 3) {
			n := map[string]int{}
			for _, f := range g.families() {
				n[f] = len(g[f])
			}
			got = append(got, n)
		}
		if fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if groups := planMerges(of(many(2*commitlog.MaxMergedFiles+1, map[string]int64{"a": 0})...), target, 3); len(groups) != 2 {
		t.Errorf("%d groups of more parts than a swap may name, want 2", len(groups))
	}
	large := commitlog.File{Family: "a", Bytes: 1, Rows: mergedRows/2 + 1}
	var files []commitlog.File
	for i := range 6 {
		large.Name = dataset.PartFile(1, fmt.Sprint(i))
		files = append(files, large)
	}
	if groups := planMerges(files, target, 1); len(groups) != 0 {
		t.Errorf("%d groups of files that have too many rows together, want none", len(groups))
	}
}

func TestLargeFilesAreMergedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	g := mergeGroup{"a": {{Bytes: 1}, {Bytes: mergedGroupBytes}}, "b": {{Bytes: 1}, {Bytes: 1}}, "c": {{Bytes: 1}}}
	if n := g.atOnce(mergesAtOnce); n != mergesAtOnce {
		t.Errorf("%d families at once, want %d", n, mergesAtOnce)
	}
	g["b"][0].Bytes = mergedGroupBytes + 1
	if n := g.atOnce(mergesAtOnce); n != 1 {
		t.Errorf("%d families at once, want 1: their files do not fit memory together", n)
	}
}

// small writes parts of one sample each, of all families.
func (w *world) small(l *leader, parts int) {
	w.t.Helper()
	pen := l.newPen(nil)
	for i := range parts {
		all := cells{}
		for _, f := range w.families {
			all[f] = []int{i}
		}
		w.must(pen.write(all))
	}
}

// end has the leader prove and write up the run.
func (w *world) end(l *leader) {
	w.t.Helper()
	l.finalising()
	w.await(l, "the proof is made", func() bool { return l.rec.State.Ended() })
}

func TestSmallFilesAreMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, leastMerged, "a", "b")
	l := w.open()
	w.small(l, leastMerged)
	before := w.visible()
	w.end(l)
	m := w.isExact()
	if len(before) != 2*leastMerged || len(m.Files) != 2 {
		t.Fatalf("%d files before, want %d; %d behind, want 2", len(before), 2*leastMerged, len(m.Files))
	}
	for _, f := range m.Files {
		if f.Rows != leastMerged {
			t.Errorf("%s has %d rows, want %d", f.Path, f.Rows, leastMerged)
		}
	}
	if n := m.Cells.BySource[sourceFeatureService]; n != 2*leastMerged {
		t.Errorf("%d cells of the feature service, want %d", n, 2*leastMerged)
	}
	indexes, err := w.disk().ListIndexes(w.ctx())
	w.must(err)
	if len(indexes) != 2 { // of the merge, and of what was requested
		t.Errorf("the completion indexes are %v", indexes)
	}

	// Who opens the run again finds every cell, and merges nothing more.
	visible := w.visible()
	w.must(l.openAgain(false))
	w.sendInput(l)
	l.finish()
	w.isExact()
	if again := w.visible(); !slices.Equal(again, visible) {
		t.Errorf("the files are %v, were %v", again, visible)
	}
}

func TestNothingIsMerged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world, l *leader){
		"few files":     func(w *world, l *leader) { w.small(l, leastMerged-1) },
		"not asked for": func(w *world, l *leader) { w.small(l, leastMerged); l.file.Output.FileBytes = 0 },
		"stopped": func(w *world, l *leader) {
			w.small(l, leastMerged)
			w.must(l.stop(w.ctx(), runs.Cancelled, "a person"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, leastMerged, "a", "b")
			l := w.open()
			change(w, l)
			before := w.visible()
			w.await(l, "the proof is made", func() bool {
				if l.rec.State.Working() {
					l.finalising()
				}
				return l.rec.State.Ended() || l.rec.Round > 0
			})
			if behind := w.visible(); !slices.Equal(before, behind) {
				t.Errorf("the files are %v, were %v", behind, before)
			}
		})
	}
}

// A disk that has no room for a merge leaves the dataset as it is, and nothing behind.
func TestNoRoomToMerge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, leastMerged, "a", "b", "c", "d")
	w.small(w.open(), leastMerged)
	before, staged := w.visible(), 0
	l := w.takeOverOn(func(s dataset.Store) dataset.Store {
		return &hookedStore{Store: s, before: byTurns(func(step string) error {
			if step == "stage" {
				if staged++; staged == 3 {
					return errors.New("no space left on device")
				}
			}
			if step == "end epoch" {
				if left, _ := filepath.Glob(filepath.Join(w.dir(), dataset.StagingDir, "*", mergedPart+"*")); len(left) != 0 {
					t.Errorf("a merge that failed has left %v", left)
				}
			}
			return nil
		})}
	})
	w.await(l, "the run is taken up", func() bool { return l.restored })
	w.end(l)
	w.isExact()
	if staged < 3 || !slices.Equal(before, w.visible()) {
		t.Errorf("%d files were staged; visible are %v, were %v", staged, w.visible(), before)
	}
}

// A file that was damaged since it was committed is not merged as if it were whole: its cells
// are fetched again.
func TestDamagedFileIsNotMerged(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]bool{"merged": false, "settled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, leastMerged, "a", "b")
			l := w.open()
			w.small(l, leastMerged-1)
			v := intValue
			if settle { // the other files of the families are written anew for it
				v = doubleValue
			}
			w.must(l.newPen(nil).writeAs(cells{"a": {leastMerged - 1}, "b": {leastMerged - 1}}, v))
			files := w.visible()
			for _, i := range []int{1, 3, 4, leastMerged + 2} { // more than there are rounds of repair
				w.must(alter(filepath.Join(w.dir(), files[i])))
			}
			l.finalising()
			l.finish()
			w.isExact()
			if l.rec.Round != 1 {
				t.Errorf("%d rounds of repair, want 1", l.rec.Round)
			}
		})
	}
}

// alter changes a bit of a file's pages.
func alter(path string) error {
	data, err := os.ReadFile(path)
	if err == nil {
		data[len(data)/8] ^= 1
		err = os.WriteFile(path, data, 0o644)
	}
	return err
}

// Who looks at a run that merges is told how far it is: to him the run stands still otherwise.
func TestStatusTellsOfAMerge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, leastMerged, "a", "b", "c", "d")
	w.small(w.open(), leastMerged)
	var l *leader
	var told []string
	l = w.takeOverOn(func(s dataset.Store) dataset.Store {
		return &hookedStore{Store: s, before: byTurns(func(step string) error {
			if step == "stage" {
				told = append(told, l.view().Waiting)
			}
			return nil
		})}
	})
	w.await(l, "the run is taken up", func() bool { return l.restored })
	w.end(l)
	// When the last file is begun, all others are written but those that are with it.
	if len(told) != 4 || told[0] != "merging small files: 0 of 4 are written" || !slices.Contains([]string{"merging small files: 2 of 4 are written", "merging small files: 3 of 4 are written"}, told[3]) {
		t.Errorf("it tells %q", told)
	}
	if text := l.view().Waiting; text != "" {
		t.Errorf("behind the merge it tells %q", text)
	}
}

// A person who cancels a run that merges does not wait for it: all is fetched, so the run is
// complete as it is.
func TestCancelEndsAMerge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, leastMerged, "a", "b", "c", "d")
	w.small(w.open(), leastMerged)
	before, staged := w.visible(), 0
	var l *leader
	cancelled := make(chan error, 1)
	l = w.takeOverOn(func(s dataset.Store) dataset.Store {
		return &hookedStore{Store: s, before: byTurns(func(step string) error {
			if step != "stage" {
				return nil
			}
			staged++
			go func() {
				_, err := l.s.cancel(w.ctx(), l.job, nil)
				cancelled <- err
			}()
			brokertest.Await(t, "the run is hurried", l.hurried.Load)
			return nil
		})}
	})
	w.await(l, "the run is taken up", func() bool { return l.restored })
	w.end(l)
	if err := <-cancelled; err == nil || !strings.Contains(err.Error(), "has ended already") {
		t.Errorf("cancelling says %v", err)
	}
	w.isExact()
	if staged > mergesAtOnce || !slices.Equal(before, w.visible()) {
		t.Errorf("%d files were staged; visible are %v, were %v", staged, w.visible(), before)
	}
}
