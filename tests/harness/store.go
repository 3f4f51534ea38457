package harness

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// CopyDir copies a directory to a place that does not exist yet.
func CopyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Committed tells which of some files a dead system has committed: those that the manifest
// lists, and those that the commit log of its store knows, also if it has swapped them out:
// they go a moment after. The store is looked at in a copy, so that the next start finds it as
// it was left.
func Committed(t testing.TB, j *Job, files []commitlog.FileID) map[commitlog.FileID]bool {
	t.Helper()
	all := map[commitlog.FileID]bool{}
	m, err := dataset.ReadManifest(j.Dataset())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err == nil {
		for _, f := range m.Files {
			all[commitlog.FileID{Family: f.Family, Name: f.Name}] = true
		}
	}
	if _, err := os.Stat(filepath.Join(j.Store(), "jetstream")); err != nil {
		return all // it died before the broker had made its store, or the store was taken away
	}
	dir := filepath.Join(t.TempDir(), "store")
	CopyDir(t, j.Store(), dir)
	OnStore(t, dir, func(ctx context.Context, client *broker.Client) {
		log := commits.New(client, j.Run, j.base)
		if err := log.CatchUp(ctx); err != nil {
			t.Logf("the commit log cannot be read (%v): nothing is committed in it", err)
			return
		}
		log.View(func(s *commitlog.State) {
			for _, id := range files {
				all[id] = all[id] || !s.Stranger(id)
			}
		})
	})
	return all
}

// OnStore does something at a broker that has the store of a dead system.
func OnStore(t testing.TB, store string, do func(context.Context, *broker.Client)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: store})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	nc, err := broker.Connect(ctx, settings.NATS{URL: server.URL()}, "tests", zerolog.Nop(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	client, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	do(ctx, client)
}

// base reads the files that an epoch of the job's run started with.
func (j *Job) base(e *commitlog.Entry) (files []commitlog.File, err error) {
	if e.Base == "" {
		return nil, nil
	}
	read := func() ([]byte, error) { return os.ReadFile(filepath.Join(j.Dataset(), "_commits", e.Base)) }
	if j.S3 != nil {
		read = func() ([]byte, error) { return j.S3.Get(context.Background(), j.S3.Prefix(j)+"_commits/"+e.Base) }
	}
	data, err := read()
	if err != nil {
		return nil, err
	}
	return files, json.Unmarshal(data, &files)
}
