package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Parts that were handed over are lost while their writer is dead, and with them, behind
// the system's back, what the writer would have written them from again. Nobody is left who
// knows of these cells: the reconciliation misses them and has them fetched again.
func TestPartsAreLostWhenTheirWriterIsGone(t *testing.T) {
	t.Parallel()
	j := harness.Killable(t, 150)
	harness.NewBackends(t, j)
	store := filepath.Join(t.TempDir(), "store")
	s := upOn(t, j, store)
	client := connect(t, s.url)
	parts, cells := streams.Subject(stage.Parts, j.Run), streams.Subject(stage.Writer, j.Run)

	submit := harness.Start(t, j.Settings(), "submit", "-f", j.RunFile(t), "--records", j.JSONL(t), "--nats", s.url)
	harness.Await(t, "the leader gets no parts any more", func() bool {
		_, err := client.JS.PauseConsumer(t.Context(), streams.Of(stage.Parts), streams.ConsumerName(stage.Parts, j.Run), time.Now().Add(time.Hour))
		return err == nil
	})
	submit.Wait(t).Expect(t, 0)
	harness.Await(t, "parts wait for the leader", func() bool {
		n, err := streams.Count(t.Context(), client.JS, streams.Of(stage.Parts), parts)
		return err == nil && n > 0
	})
	s.process.Kill()

	harness.OnStore(t, store, func(ctx context.Context, c *broker.Client) {
		for stream, subject := range map[string]string{streams.Of(stage.Parts): parts, streams.Of(stage.Writer): cells} {
			if n, err := streams.PurgeSubject(ctx, c.JS, stream, subject); err != nil || n == 0 {
				t.Fatalf("%d messages were removed from %s: %v", n, stream, err)
			}
		}
		if _, err := c.JS.ResumeConsumer(ctx, streams.Of(stage.Parts), streams.ConsumerName(stage.Parts, j.Run)); err != nil {
			t.Fatal(err)
		}
	})

	s = upOn(t, j, store)
	s.fff("runs", "wait", j.Run).Expect(t, 0)
	if r := s.fff("runs", "show", j.Run, "--output", "json").Expect(t, 0); !strings.Contains(r.Stdout, `"round": 1`) {
		t.Errorf("what was lost did not come in the first round of repair\n%s", r)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// upOn starts `fff up` on a store that may have been used.
func upOn(t *testing.T, j *harness.Job, store string) *system {
	t.Helper()
	p := harness.Start(t, j.Settings(), "up", "--port", "0", "--store", store)
	text := p.Stdout(t, "the system names its address", func(s string) bool { return strings.HasSuffix(s, "\n") })
	return &system{t: t, url: strings.TrimSpace(text), process: p}
}

// connect connects to the broker of a system, as a client that looks and disturbs.
func connect(t *testing.T, url string) *broker.Client {
	t.Helper()
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: url}, "tests", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	client, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
