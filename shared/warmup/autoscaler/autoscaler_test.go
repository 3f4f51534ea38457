package autoscaler_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/autoscaler"
)

// cluster is the part of an API server that serves one autoscaler.
type cluster struct {
	t       *testing.T
	object  map[string]any
	patches int
}

// merge is RFC 7396.
func merge(into, patch map[string]any) {
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(into, k)
		case map[string]any:
			inner, ok := into[k].(map[string]any)
			if !ok {
				inner = map[string]any{}
			}
			merge(inner, v)
			into[k] = inner
		default:
			into[k] = v
		}
	}
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			c.t.Error(err)
		}
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer secret":
		answer(http.StatusUnauthorized, map[string]any{"message": "Unauthorized"})
	case r.URL.Path != "/apis/autoscaling/v2/namespaces/ml/horizontalpodautoscalers/feature-service":
		answer(http.StatusNotFound, map[string]any{"message": "not found"})
	case r.Method == http.MethodPatch:
		var patch map[string]any
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			answer(http.StatusBadRequest, map[string]any{"message": "no merge patch"})
			return
		}
		c.patches++
		merge(c.object, patch)
		answer(http.StatusOK, c.object)
	default:
		answer(http.StatusOK, c.object)
	}
}

func start(t *testing.T, object string) (*cluster, autoscaler.Config) {
	t.Helper()
	c := &cluster{t: t}
	if err := json.Unmarshal([]byte(object), &c.object); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, autoscaler.Config{URL: s.URL, TokenFile: token}
}

const (
	plain = `{"metadata":{"annotations":{"team":"ml"}},"spec":{"minReplicas":3,"maxReplicas":40},"status":{"currentReplicas":3}}`
	keda  = `{"metadata":{"ownerReferences":[{"kind":"ScaledObject","name":"features"}]},"spec":{"minReplicas":3,"maxReplicas":40}}`
	name  = "ml/feature-service"
)

func want(replicas string) warmup.Values { return warmup.Values{autoscaler.MinReplicas: replicas} }

func TestUpAndDown(t *testing.T) {
	c, cfg := start(t, plain)
	b, ctx := autoscaler.New(cfg), t.Context()
	before, err := json.Marshal(c.object)
	if err != nil {
		t.Fatal(err)
	}
	change, err := b.Plan(ctx, name, want("36"))
	if err != nil || c.patches != 0 || change.From[autoscaler.MinReplicas] != "3" || change.To[autoscaler.MinReplicas] != "36" {
		t.Fatalf("plan %+v, %v, after %d patches", change, err, c.patches)
	}
	if err := errors.Join(b.Mark(ctx, name, "demo.1", "held …"), b.Apply(ctx, name, change.To)); err != nil {
		t.Fatal(err)
	}
	s, err := b.Read(ctx, name)
	if err != nil || s.Values[autoscaler.MinReplicas] != "36" || s.Marks["demo.1"] != "held …" || len(s.Marks) != 1 || s.Lag != "3 of 36 replicas are there" {
		t.Errorf("raised: %+v, %v", s, err)
	}
	if err := errors.Join(b.Apply(ctx, name, change.From), b.Unmark(ctx, name, "demo.1"), b.Unmark(ctx, name, "demo.1")); err != nil {
		t.Fatal(err)
	}
	if after, err := json.Marshal(c.object); err != nil || string(after) != string(before) {
		t.Errorf("in the end it is %s, want %s", after, before)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ object, replicas, says string }{
		{plain, "41", "above its own maximum of 40"},
		{keda, "36", "minReplicaCount of the ScaledObject features"},
	} {
		_, cfg := start(t, tc.object)
		_, err := autoscaler.New(cfg).Plan(t.Context(), name, want(tc.replicas))
		if _, refused := errors.AsType[*warmup.Refused](err); !refused || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("got %v, want %q", err, tc.says)
		}
	}
}

func TestErrors(t *testing.T) {
	_, cfg := start(t, plain)
	if _, err := autoscaler.New(cfg).Read(t.Context(), "ml/other"); !errors.Is(err, warmup.ErrGone) {
		t.Errorf("another name: %v", err)
	}
	cfg.TokenFile = ""
	if _, err := autoscaler.New(cfg).Read(t.Context(), name); err == nil || !strings.Contains(err.Error(), "401 Unauthorized: Unauthorized") {
		t.Errorf("no token: %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := autoscaler.New(autoscaler.Config{}).Read(t.Context(), name); err == nil || !strings.Contains(err.Error(), "FFF_KUBERNETES_URL") {
		t.Errorf("outside of a cluster: %v", err)
	}
}
