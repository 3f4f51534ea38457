package harness

import (
	"context"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Backends are stand-ins in the process of the test, which may make things go wrong in them
// and count what they did. They live through every start of the system.
type Backends struct {
	*sandbox.Sandbox
	At sandbox.Endpoints
}

// NewBackends starts stand-ins and points the job at them.
func NewBackends(t testing.TB, j *Job) *Backends {
	t.Helper()
	b := StartBackends(t, j.Sandbox, j.File(t))
	b.Serve(j)
	return b
}

// StartBackends starts stand-ins for a run file.
func StartBackends(t testing.TB, cfg sandbox.Config, file *runfile.File) *Backends {
	t.Helper()
	cfg.DynamoDBAddr, cfg.FeatureServiceAddr = "127.0.0.1:0", "127.0.0.1:0"
	box, err := sandbox.New(cfg, file)
	if err != nil {
		t.Fatal(err)
	}
	at, err := box.Start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = box.Stop(ctx) // requests of killed programs are broken off
	})
	return &Backends{Sandbox: box, At: at}
}

// Serve points a job at the stand-ins.
func (b *Backends) Serve(j *Job) {
	if j.Env == nil {
		j.Env = Env{}
	}
	j.Backend, j.Env["AWS_ENDPOINT_URL_DYNAMODB"], j.Env["AWS_ENDPOINT_URL_RDS"] = b.At.FeatureService, b.At.DynamoDB, b.At.RDS
}
