package storetest

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

func indexes(t *testing.T, s dataset.Store) {
	must(t, s.BeginEpoch(t.Context(), 1, token))
	_, err := s.GetIndex(t.Context(), "1-b")
	wantErr(t, err, fs.ErrNotExist)
	for _, name := range []string{"1-b", "1-a", "1-b"} {
		must(t, s.PutIndex(t.Context(), name, []byte("of "+name)))
	}
	names, err := s.ListIndexes(t.Context())
	must(t, err)
	if want := []string{"1-a", "1-b"}; !slices.Equal(names, want) {
		t.Errorf("indexes %v, want %v", names, want)
	}
	data, err := s.GetIndex(t.Context(), "1-b")
	must(t, err)
	if string(data) != "of 1-b" {
		t.Errorf("index holds %q", data)
	}
	for range 2 {
		must(t, s.RemoveIndex(t.Context(), "1-b"))
	}
	_, err = s.GetIndex(t.Context(), "1-b")
	wantErr(t, err, fs.ErrNotExist)
}

func metaFiles(t *testing.T, s dataset.Store) {
	_, err := s.Get(t.Context(), dataset.ManifestName)
	wantErr(t, err, fs.ErrNotExist)
	_, err = s.Open(t.Context(), dataset.ManifestName)
	wantErr(t, err, fs.ErrNotExist)
	for _, text := range []string{"one", "two, longer"} {
		must(t, s.Put(t.Context(), dataset.ManifestName, []byte(text)))
		data, err := s.Get(t.Context(), dataset.ManifestName)
		must(t, err)
		if string(data) != text {
			t.Errorf("got %q, want %q", data, text)
		}
	}
	for range 2 {
		must(t, s.Remove(t.Context(), dataset.ManifestName))
	}
	_, err = s.Get(t.Context(), dataset.ManifestName)
	wantErr(t, err, fs.ErrNotExist)
}

func exclusiveCreate(t *testing.T, s dataset.Store) {
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = s.Create(t.Context(), dataset.OwnerName, fmt.Appendf(nil, "owner %d", i)) })
	}
	all.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err != nil:
			wantErr(t, err, fs.ErrExist)
		case won >= 0:
			t.Fatalf("both %d and %d created the file", won, i)
		default:
			won = i
		}
	}
	data, err := s.Get(t.Context(), dataset.OwnerName)
	must(t, err)
	if want := fmt.Sprintf("owner %d", won); string(data) != want {
		t.Errorf("owner file holds %q, want %q", data, want)
	}
	must(t, s.Remove(t.Context(), dataset.OwnerName))
	must(t, s.Create(t.Context(), dataset.OwnerName, []byte("next")))
}

func putWriter(t *testing.T, s dataset.Store) {
	must(t, s.Put(t.Context(), dataset.FailuresName, []byte("before")))
	dropped, err := s.PutWriter(t.Context(), dataset.FailuresName)
	must(t, err)
	must(t, content("never seen")(dropped))
	must(t, dropped.Close())
	kept, err := s.PutWriter(t.Context(), dataset.FailuresName)
	must(t, err)
	must(t, content("half ")(kept))
	if data, err := s.Get(t.Context(), dataset.FailuresName); err != nil || string(data) != "before" {
		t.Errorf("before commit: %q, %v", data, err)
	}
	must(t, content("and half")(kept))
	must(t, kept.Commit())
	must(t, kept.Close())
	blob, err := s.Open(t.Context(), dataset.FailuresName)
	if got := readAll(t, blob, err); got != "half and half" {
		t.Errorf("after commit: %q", got)
	}
}
