// Package storetest is the conformance suite of dataset stores: what the commit
// protocol relies on, checked the same way for every implementation.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

const (
	token  = "tok"
	part   = "w1-1"
	family = "credit/é"
)

// Run runs the suite. open gives an empty store, each time another.
func Run(t *testing.T, open func(t *testing.T) dataset.Store) {
	for name, test := range map[string]func(*testing.T, dataset.Store){
		"stage then reveal":                   stageThenReveal,
		"reveal may be repeated":              revealRepeated,
		"reveal by many at once":              revealConcurrently,
		"reveal what was never staged":        revealUnstaged,
		"reveal of another size":              revealOtherSize,
		"a visible file is never replaced":    revealNeverReplaces,
		"an epoch that never began":           fencedBeforeBegin,
		"an epoch that ended":                 fencedAfterEnd,
		"an epoch that ends while it stages":  fencedWhileStaging,
		"a failed write leaves nothing":       failedStage,
		"a name is staged once":               stagedOnce,
		"what is staged of a part is removed": unstaged,
		"epochs are listed and removed":       listStaging,
		"indexes":                             indexes,
		"files beside features":               metaFiles,
		"exclusive create":                    exclusiveCreate,
		"a large file":                        putWriter,
		"names that lead elsewhere":           badNames,
		"a cancelled context":                 cancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want one that is %v", got, want)
	}
}

func stage(t *testing.T, s dataset.Store, name, text string) dataset.StagedFile {
	t.Helper()
	staged, err := s.Stage(t.Context(), 1, token, part, family, name, content(text))
	must(t, err)
	return staged
}

func reveal(t *testing.T, s dataset.Store, name string, staged dataset.StagedFile) error {
	t.Helper()
	return s.Reveal(t.Context(), 1, token, part, family, name, staged)
}

func readAll(t *testing.T, blob dataset.Blob, err error) string {
	t.Helper()
	must(t, err)
	defer blob.Close()
	data, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
	must(t, err)
	return string(data)
}

func visible(t *testing.T, s dataset.Store, name string) string {
	t.Helper()
	blob, err := s.OpenVisible(t.Context(), family, name)
	return readAll(t, blob, err)
}

const file = "part-1-w1-1.parquet"

func stageThenReveal(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	staged := stage(t, s, file, "hello")
	sum, n, err := dataset.Checksum(t.Context(), bytes.NewReader([]byte("hello")))
	must(t, err)
	if staged.Bytes != n || staged.Checksum != sum {
		t.Errorf("staged %+v, want %d bytes with checksum %s", staged, n, sum)
	}
	files, err := s.ListVisible(t.Context())
	must(t, err)
	if len(files) != 0 {
		t.Fatalf("visible before reveal: %v", files)
	}
	_, err = s.StatVisible(t.Context(), family, file)
	wantErr(t, err, fs.ErrNotExist)

	must(t, reveal(t, s, file, staged))
	if got := visible(t, s, file); got != "hello" {
		t.Errorf("visible file holds %q", got)
	}
	size, err := s.StatVisible(t.Context(), family, file)
	must(t, err)
	if size != 5 {
		t.Errorf("size %d, want 5", size)
	}
	files, err = s.ListVisible(t.Context())
	must(t, err)
	want := []dataset.VisibleFile{{Family: family, Name: file, Bytes: 5, Path: dataset.VisiblePath(family, file)}}
	if !slices.Equal(files, want) {
		t.Errorf("visible: %+v, want %+v", files, want)
	}
	for range 2 { // removal may be repeated
		must(t, s.RemoveVisible(t.Context(), family, file))
	}
	_, err = s.OpenVisible(t.Context(), family, file)
	wantErr(t, err, fs.ErrNotExist)
}

func revealRepeated(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	staged := stage(t, s, file, "hello")
	for range 3 {
		must(t, reveal(t, s, file, staged))
	}
	must(t, s.EndEpoch(t.Context(), 1, token))
	must(t, reveal(t, s, file, staged)) // visible still, its epoch gone
	if got := visible(t, s, file); got != "hello" {
		t.Errorf("visible file holds %q", got)
	}
}

func revealConcurrently(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	for round := range 20 {
		name := fmt.Sprintf("part-1-%d.parquet", round)
		staged := stage(t, s, name, "hello")
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = reveal(t, s, name, staged) })
		}
		all.Wait()
		must(t, errors.Join(errs...))
		if got := visible(t, s, name); got != "hello" {
			t.Fatalf("visible file holds %q", got)
		}
	}
}

func revealUnstaged(t *testing.T, s dataset.Store) {
	wantErr(t, reveal(t, s, file, dataset.StagedFile{Bytes: 5}), dataset.ErrNotStaged)
	must(t, s.BeginEpoch(t.Context(), 1, token))
	wantErr(t, reveal(t, s, file, dataset.StagedFile{Bytes: 5}), dataset.ErrNotStaged)
}

func revealOtherSize(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	staged := stage(t, s, file, "hello")
	staged.Bytes++
	if err := reveal(t, s, file, staged); err == nil {
		t.Fatal("a staged file of another size than committed became visible")
	}
	_, err := s.StatVisible(t.Context(), family, file)
	wantErr(t, err, fs.ErrNotExist)
}

func revealNeverReplaces(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	must(t, reveal(t, s, file, stage(t, s, file, "hello")))
	again, err := s.Stage(t.Context(), 1, token, part, family, file, content("HELLO"))
	must(t, err)
	must(t, reveal(t, s, file, again))
	if got := visible(t, s, file); got != "hello" {
		t.Errorf("the visible file was replaced by %q", got)
	}
	other, err := s.Stage(t.Context(), 1, token, part, family, file, content("of another length"))
	must(t, err)
	if err := reveal(t, s, file, other); err == nil {
		t.Error("a visible file of another size passed for the staged one")
	}
}

func fencedBeforeBegin(t *testing.T, s dataset.Store) {
	_, err := s.Stage(t.Context(), 1, token, part, family, file, content("x"))
	wantErr(t, err, dataset.ErrFenced)
	wantErr(t, s.PutIndex(t.Context(), dataset.IndexName(1, part), []byte("x")), dataset.ErrFenced)
	must(t, s.BeginEpoch(t.Context(), 1, token))
	_, err = s.Stage(t.Context(), 1, "other", part, family, file, content("x"))
	wantErr(t, err, dataset.ErrFenced)
	_, err = s.Stage(t.Context(), 11, token, part, family, file, content("x"))
	wantErr(t, err, dataset.ErrFenced)
	wantErr(t, s.PutIndex(t.Context(), dataset.IndexName(11, part), []byte("x")), dataset.ErrFenced)
}

func fencedAfterEnd(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	must(t, s.BeginEpoch(t.Context(), 2, token))
	staged := stage(t, s, file, "x")
	for range 2 { // ending may be repeated
		must(t, s.EndEpoch(t.Context(), 1, token))
	}
	_, err := s.Stage(t.Context(), 1, token, "w1-2", family, file, content("x"))
	wantErr(t, err, dataset.ErrFenced)
	wantErr(t, s.PutIndex(t.Context(), dataset.IndexName(1, part), []byte("x")), dataset.ErrFenced)
	wantErr(t, reveal(t, s, file, staged), dataset.ErrNotStaged)
	must(t, s.PutIndex(t.Context(), dataset.IndexName(2, part), []byte("x")))
}

func fencedWhileStaging(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	_, err := s.Stage(t.Context(), 1, token, part, family, file, func(w io.Writer) error {
		must(t, content("half ")(w))
		must(t, s.EndEpoch(t.Context(), 1, token))
		return content("a file")(w)
	})
	wantErr(t, err, dataset.ErrFenced)
	names, err := s.ListStaging(t.Context())
	must(t, err)
	if len(names) != 0 {
		t.Errorf("staging is back: %v", names)
	}
}

func failedStage(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	broken := errors.New("broken")
	_, err := s.Stage(t.Context(), 1, token, part, family, file, func(w io.Writer) error {
		return errors.Join(content("half a file")(w), broken)
	})
	wantErr(t, err, broken)
	wantErr(t, reveal(t, s, file, dataset.StagedFile{Bytes: 11}), dataset.ErrNotStaged)
	must(t, reveal(t, s, file, stage(t, s, file, "whole")))
}

func unstaged(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	kept := stage(t, s, file, "hello")
	dropped, err := s.Stage(t.Context(), 1, token, "w1-2", family, dataset.PartFile(1, "w1-2"), content("hello"))
	must(t, err)
	for range 2 { // removal may be repeated
		must(t, s.Unstage(t.Context(), 1, token, "w1-2"))
	}
	wantErr(t, s.Reveal(t.Context(), 1, token, "w1-2", family, dataset.PartFile(1, "w1-2"), dropped), dataset.ErrNotStaged)
	must(t, reveal(t, s, file, kept))
}

func stagedOnce(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	staged := stage(t, s, file, "first")
	_, err := s.Stage(t.Context(), 1, token, part, family, file, content("later"))
	wantErr(t, err, fs.ErrExist)
	must(t, reveal(t, s, file, staged))
	if got := visible(t, s, file); got != "first" {
		t.Errorf("the staged file was overwritten: %q", got)
	}
}

func listStaging(t *testing.T, s dataset.Store) {
	for _, epoch := range []uint64{2, 10} {
		for range 2 { // beginning may be repeated
			must(t, s.BeginEpoch(t.Context(), epoch, token))
		}
	}
	names, err := s.ListStaging(t.Context())
	must(t, err)
	slices.Sort(names)
	if want := []string{"10-tok", "2-tok"}; !slices.Equal(names, want) {
		t.Fatalf("staging %v, want %v", names, want)
	}
	for range 2 {
		must(t, s.RemoveStaging(t.Context(), "2-tok"))
	}
	names, err = s.ListStaging(t.Context())
	must(t, err)
	if want := []string{"10-tok"}; !slices.Equal(names, want) {
		t.Errorf("staging %v, want %v", names, want)
	}
}

func badNames(t *testing.T, s dataset.Store) {
	ctx := t.Context()
	must(t, s.BeginEpoch(ctx, 1, token))
	for _, bad := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".hidden", "a b", "a\x00", "é"} {
		_, stagePart := s.Stage(ctx, 1, token, bad, family, file, content("x"))
		_, stageName := s.Stage(ctx, 1, token, part, family, bad, content("x"))
		_, stageToken := s.Stage(ctx, 1, bad, part, family, file, content("x"))
		_, get := s.Get(ctx, bad)
		_, stat := s.StatVisible(ctx, family, bad)
		for call, err := range map[string]error{
			"Stage part": stagePart, "Stage name": stageName, "Stage token": stageToken, "Get": get, "StatVisible": stat,
			"BeginEpoch": s.BeginEpoch(ctx, 1, bad), "EndEpoch": s.EndEpoch(ctx, 1, bad), "RemoveStaging": s.RemoveStaging(ctx, bad),
			"PutIndex": s.PutIndex(ctx, bad, nil), "RemoveIndex": s.RemoveIndex(ctx, bad),
			"Put": s.Put(ctx, bad, nil), "Create": s.Create(ctx, bad, nil), "Remove": s.Remove(ctx, bad),
			"RemoveVisible": s.RemoveVisible(ctx, family, file, bad), "Unstage": s.Unstage(ctx, 1, token, bad),
			"Reveal": s.Reveal(ctx, 1, token, part, family, bad, dataset.StagedFile{}),
		} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, dataset.ErrFenced) {
				t.Errorf("%s took the name %q: %v", call, bad, err)
			}
		}
	}
	if err := s.Put(ctx, "features", nil); err == nil {
		t.Error("Put took a name without _")
	}
	if _, err := s.Stage(ctx, 1, token, part, "", file, content("x")); err == nil {
		t.Error("Stage took an empty family")
	}
}

func cancelled(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Stage(ctx, 1, token, part, family, file, func(w io.Writer) error {
		cancel()
		return content("x")(w)
	})
	wantErr(t, err, context.Canceled)
	wantErr(t, s.Put(ctx, dataset.ManifestName, nil), context.Canceled)
	wantErr(t, s.BeginEpoch(ctx, 2, token), context.Canceled)
	_, err = s.ListVisible(ctx)
	wantErr(t, err, context.Canceled)
}
