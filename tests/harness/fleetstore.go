package harness

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/streams"
)

// asking bounds a question to the broker of a fleet, which may be away.
const asking = 10 * time.Second

// with calls fn with a connection to the broker, which ends with it. It gives false if the
// broker is away or fn fails.
func (f *Fleet) with(fn func(context.Context, *broker.Client) error) bool {
	if !f.Broker.awake() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), asking)
	defer cancel()
	nc, err := broker.Connect(ctx, settings.NATS{URL: f.URL}, "tests", zerolog.Nop())
	if err != nil {
		return false
	}
	defer nc.Close()
	c, err := broker.NewClient(nc)
	return err == nil && fn(ctx, c) == nil
}

// leaseHolder gives the id of the instance that holds a lease, "" if nobody does.
func (f *Fleet) leaseHolder(name string) (id string) {
	f.with(func(ctx context.Context, c *broker.Client) error {
		st, err := c.JS.Stream(ctx, "KV_"+streams.LeasesBucket)
		if err != nil {
			return err
		}
		last, err := st.GetLastMsgForSubject(ctx, "$KV."+streams.LeasesBucket+"."+name)
		if err == nil {
			id = string(last.Data)
		}
		return err
	})
	return id
}

// Beat asks an instance what it is doing.
func (f *Fleet) Beat(i *Instance) (b fleet.Beat, ok bool) {
	ok = f.with(func(ctx context.Context, c *broker.Client) error {
		reply, err := c.NC.RequestWithContext(ctx, "fff.instance."+i.id(), nil)
		if err != nil {
			return err
		}
		return json.Unmarshal(reply.Data, &b)
	})
	return b, ok
}

// Look checks, while the job goes on, that every visible file is committed. It gives false
// if that cannot be told now, because the broker is away or the run is torn down.
func (f *Fleet) Look(t testing.TB, j *Job) bool {
	t.Helper()
	visible, err := j.visible()
	if err != nil || len(visible) == 0 {
		return false // a directory was swapped while it was listed
	}
	told := false
	f.with(func(ctx context.Context, c *broker.Client) error {
		// Read after the files were listed: what was visible by then is in it.
		log := commits.New(c, j.Run, j.base)
		if err := log.CatchUp(ctx); err != nil {
			return err
		}
		var strangers []string
		log.View(func(s *commitlog.State) {
			for _, path := range visible {
				if id, ok := fileID(path); ok && s.Stranger(id) {
					strangers = append(strangers, path)
				}
			}
		})
		// The teardown drops the log. Had it done so while we read, we saw a part of it.
		if err := log.CatchUp(ctx); err != nil || log.Rollbacks() > 0 {
			return err
		}
		log.View(func(s *commitlog.State) { told = s.Epoch > 0 })
		for _, path := range strangers {
			if told {
				t.Errorf("%s is visible, but not committed", path)
			}
		}
		return nil
	})
	return told
}

// fileID gives what the commit log knows a visible file by.
func fileID(path string) (id commitlog.FileID, ok bool) {
	family, err := unescape(filepath.Base(filepath.Dir(path)))
	return commitlog.FileID{Family: family, Name: filepath.Base(path)}, err == nil && strings.HasSuffix(path, ".parquet")
}
