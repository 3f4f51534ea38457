package autoscaler

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// Kind is the kind of these resources; their names are NAMESPACE/NAME.
const Kind = "hpa"

// MinReplicas is an autoscaler's only setting.
const MinReplicas = "min_replicas"

// annotationPrefix is what the keys of marks begin with.
const annotationPrefix = "hold.fff/"

// Backend raises autoscalers.
type Backend struct{ cfg Config }

var _ warmup.Backend = (*Backend)(nil)

// New gives a Backend. It looks for the API server when it is first used: most runs have
// none.
func New(cfg Config) *Backend { return &Backend{cfg} }

// Kind gives "hpa".
func (b *Backend) Kind() string { return Kind }

// object is what is read of a HorizontalPodAutoscaler.
type object struct {
	Metadata struct {
		Annotations     map[string]string
		OwnerReferences []struct{ Kind, Name string }
	}
	Spec struct {
		MinReplicas *int32 // absent = 1
		MaxReplicas int32
	}
	Status struct{ CurrentReplicas int32 }
}

func (o *object) minReplicas() int32 {
	if o.Spec.MinReplicas == nil {
		return 1
	}
	return *o.Spec.MinReplicas
}

func (b *Backend) call(ctx context.Context, name string, in any) (*object, error) {
	namespace, hpa, ok := strings.Cut(name, "/")
	if !ok {
		return nil, fmt.Errorf("autoscaler %s: its name is NAMESPACE/NAME", name)
	}
	s, err := connect(b.cfg)
	if err != nil {
		return nil, err
	}
	defer s.client.CloseIdleConnections()
	var o object
	path := "/apis/autoscaling/v2/namespaces/" + url.PathEscape(namespace) + "/horizontalpodautoscalers/" + url.PathEscape(hpa)
	if err := s.call(ctx, path, in, &o); err != nil {
		return nil, fmt.Errorf("autoscaler %s: %w", name, err)
	}
	return &o, nil
}

// Read reads an autoscaler; one call gives values and marks as they were at one moment.
func (b *Backend) Read(ctx context.Context, name string) (warmup.State, error) {
	o, err := b.call(ctx, name, nil)
	if err != nil {
		return warmup.State{}, err
	}
	least := o.minReplicas()
	s := warmup.State{Values: warmup.Values{MinReplicas: strconv.Itoa(int(least))}, Marks: map[string]string{}}
	if now := o.Status.CurrentReplicas; now < least {
		s.Lag = fmt.Sprintf("%d of %d replicas are there", now, least)
	}
	for key, value := range o.Metadata.Annotations {
		if holder, ours := strings.CutPrefix(key, annotationPrefix); ours {
			s.Marks[holder] = value
		}
	}
	return s, nil
}

// Plan raises minReplicas, within the autoscaler's own maximum.
func (b *Backend) Plan(ctx context.Context, name string, want warmup.Values) (warmup.Change, error) {
	r := warmup.Resource{Kind: Kind, Name: name}
	o, err := b.call(ctx, name, nil)
	if err != nil {
		return warmup.Change{}, err
	}
	now := strconv.Itoa(int(o.minReplicas()))
	c := warmup.Change{Resource: r, From: warmup.Values{MinReplicas: now}, To: warmup.Values{MinReplicas: now}}
	for _, owner := range o.Metadata.OwnerReferences {
		if owner.Kind == "ScaledObject" {
			return c, warmup.Refuse(r, "KEDA owns it and would put its minimum back; raise minReplicaCount of the ScaledObject %s instead", owner.Name)
		}
	}
	replicas, err := strconv.ParseInt(want[MinReplicas], 10, 32)
	if err != nil {
		return c, fmt.Errorf("%s: min_replicas %q is no number", r, want[MinReplicas])
	}
	if int32(replicas) > o.Spec.MaxReplicas {
		return c, warmup.Refuse(r, "min_replicas %d is above its own maximum of %d; lower the one, or raise the other yourself", replicas, o.Spec.MaxReplicas)
	}
	if int32(replicas) > o.minReplicas() {
		c.To = warmup.Values{MinReplicas: want[MinReplicas]}
		c.Notes = []string{"pods go some 5 minutes after the minimum is restored: Kubernetes waits so long before it scales down"}
	}
	return c, nil
}

// Apply sets minReplicas.
func (b *Backend) Apply(ctx context.Context, name string, to warmup.Values) error {
	replicas, err := strconv.ParseInt(to[MinReplicas], 10, 32)
	if err != nil {
		return fmt.Errorf("autoscaler %s: min_replicas %q is no number", name, to[MinReplicas])
	}
	_, err = b.call(ctx, name, map[string]any{"spec": map[string]any{"minReplicas": replicas}})
	return err
}

// Mark annotates the autoscaler.
func (b *Backend) Mark(ctx context.Context, name, holder, text string) error {
	return b.annotate(ctx, name, holder, text)
}

// Unmark removes the annotation.
func (b *Backend) Unmark(ctx context.Context, name, holder string) error {
	return b.annotate(ctx, name, holder, nil)
}

// annotate sets an annotation, or removes it if text is nil. A merge patch of one key
// leaves those of other holders alone.
func (b *Backend) annotate(ctx context.Context, name, holder string, text any) error {
	_, err := b.call(ctx, name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationPrefix + holder: text}}})
	return err
}
