// Package table scales DynamoDB tables: provisioned capacity up and down again, and the
// warm throughput of on-demand tables, which only ever goes up.
package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// Kind is the kind of these resources; their names are tables' names or ARNs.
const Kind = "table"

// The settings of a table.
const (
	ReadUnits  = "read_units"
	WriteUnits = "write_units"
	// WarmReads and WarmWrites are an on-demand table's warm throughput, in units a second.
	WarmReads  = "warm_read_units"
	WarmWrites = "warm_write_units"
)

// tagPrefix is what the keys of marks begin with.
const tagPrefix = "fff:hold:"

// maxTags is how many tags a table takes.
const maxTags = 50

// Decreases of a table's capacity: so many at any time of a UTC day, and then one for every
// hour without one.
const (
	freeDecreases = 4
	maxDecreases  = 27
)

// API is what is called of DynamoDB.
type API interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	UpdateTable(context.Context, *dynamodb.UpdateTableInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTableOutput, error)
	ListTagsOfResource(context.Context, *dynamodb.ListTagsOfResourceInput, ...func(*dynamodb.Options)) (*dynamodb.ListTagsOfResourceOutput, error)
	TagResource(context.Context, *dynamodb.TagResourceInput, ...func(*dynamodb.Options)) (*dynamodb.TagResourceOutput, error)
	UntagResource(context.Context, *dynamodb.UntagResourceInput, ...func(*dynamodb.Options)) (*dynamodb.UntagResourceOutput, error)
}

// Scalers is what is called of Application Auto Scaling.
type Scalers interface {
	DescribeScalableTargets(context.Context, *applicationautoscaling.DescribeScalableTargetsInput, ...func(*applicationautoscaling.Options)) (*applicationautoscaling.DescribeScalableTargetsOutput, error)
}

// Config sets up a Backend.
type Config struct {
	API     API
	Scalers Scalers // nil = tables are not looked for among scalable targets
	// AllowWarmThroughput lets the warm throughput of on-demand tables be raised. It can
	// never be lowered.
	AllowWarmThroughput bool
	Now                 func() time.Time
}

// Backend scales tables.
type Backend struct{ cfg Config }

var _ warmup.Backend = (*Backend)(nil)

// New gives a Backend.
func New(cfg Config) *Backend {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Backend{cfg}
}

// Kind gives "table".
func (b *Backend) Kind() string { return Kind }

func (b *Backend) describe(ctx context.Context, name string) (*types.TableDescription, error) {
	out, err := b.cfg.API.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
		return nil, fmt.Errorf("table %s: %w", name, warmup.ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", name, err)
	}
	return out.Table, nil
}

// Read reads a table's capacity and marks.
func (b *Backend) Read(ctx context.Context, name string) (warmup.State, error) {
	t, err := b.describe(ctx, name)
	if err != nil {
		return warmup.State{}, err
	}
	s := warmup.State{Values: values(t), Marks: map[string]string{}}
	if t.TableStatus != types.TableStatusActive {
		s.Busy = "it is " + string(t.TableStatus)
	}
	var next *string
	for {
		tags, err := b.cfg.API.ListTagsOfResource(ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: t.TableArn, NextToken: next})
		if err != nil {
			return s, fmt.Errorf("read the tags of table %s: %w", name, err)
		}
		for _, tag := range tags.Tags {
			if holder, ours := strings.CutPrefix(aws.ToString(tag.Key), tagPrefix); ours {
				s.Marks[holder] = aws.ToString(tag.Value)
			}
		}
		if next = tags.NextToken; aws.ToString(next) == "" {
			return s, nil
		}
	}
}

func onDemand(t *types.TableDescription) bool {
	return t.BillingModeSummary != nil && t.BillingModeSummary.BillingMode == types.BillingModePayPerRequest
}

func values(t *types.TableDescription) warmup.Values {
	units := func(n *int64) string { return strconv.FormatInt(aws.ToInt64(n), 10) }
	if onDemand(t) {
		v := warmup.Values{WarmReads: "0", WarmWrites: "0"}
		if w := t.WarmThroughput; w != nil {
			v[WarmReads], v[WarmWrites] = units(w.ReadUnitsPerSecond), units(w.WriteUnitsPerSecond)
		}
		return v
	}
	p := t.ProvisionedThroughput
	return warmup.Values{ReadUnits: units(p.ReadCapacityUnits), WriteUnits: units(p.WriteCapacityUnits)}
}

// number reads a value; what is none counts as 0.
func number(v string) int64 {
	n, _ := strconv.ParseInt(v, 10, 64)
	return n
}

// raised gives the larger of what is there and what is wanted, setting by setting.
func raised(from, want warmup.Values, pairs [][2]string) warmup.Values {
	to := warmup.Values{}
	for _, p := range pairs {
		to[p[0]] = strconv.FormatInt(max(number(from[p[0]]), number(want[p[1]])), 10)
	}
	return to
}

// Plan raises the capacity of a provisioned table, or the warm throughput of one on demand
// if that is allowed.
func (b *Backend) Plan(ctx context.Context, name string, want warmup.Values) (warmup.Change, error) {
	r := warmup.Resource{Kind: Kind, Name: name}
	t, err := b.describe(ctx, name)
	if err != nil {
		return warmup.Change{}, err
	}
	c := warmup.Change{Resource: r, From: values(t)}
	if onDemand(t) {
		return b.planOnDemand(c, t, want), nil
	}
	c.To = raised(c.From, want, [][2]string{{ReadUnits, ReadUnits}, {WriteUnits, WriteUnits}})
	if c.None() {
		return c, nil
	}
	if err := b.canComeDown(r, t.ProvisionedThroughput); err != nil {
		return c, err
	}
	note, err := b.autoScaled(ctx, name)
	if err != nil {
		return c, err
	}
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
	return c, nil
}

// planOnDemand leaves a table alone that takes what is wanted, or whose warm throughput
// must not be raised.
func (b *Backend) planOnDemand(c warmup.Change, t *types.TableDescription, want warmup.Values) warmup.Change {
	c.To = raised(c.From, want, [][2]string{{WarmReads, ReadUnits}, {WarmWrites, WriteUnits}})
	if limit := t.OnDemandThroughput; limit != nil && aws.ToInt64(limit.MaxReadRequestUnits) > 0 && aws.ToInt64(limit.MaxReadRequestUnits) < number(want[ReadUnits]) {
		c.Notes = append(c.Notes, fmt.Sprintf("its on-demand limit is %d read units a second, below the %s that the target needs", *limit.MaxReadRequestUnits, want[ReadUnits]))
	}
	switch {
	case c.None():
	case !b.cfg.AllowWarmThroughput:
		c.Notes = append(c.Notes, fmt.Sprintf("it is on demand and warm for %s reads a second, the target needs %s; it is left as it is, because warm throughput can never be lowered again; allow_warm_throughput: true raises it",
			c.From[WarmReads], c.To[WarmReads]))
		c.To = c.From
	default:
		c.Permanent = true
		c.Notes = append(c.Notes, "warm throughput is paid once, and can never be lowered again")
	}
	return c
}

// canComeDown refuses a raise that could not be undone today.
func (b *Backend) canComeDown(r warmup.Resource, p *types.ProvisionedThroughputDescription) error {
	used, now := aws.ToInt64(p.NumberOfDecreasesToday), b.cfg.Now().UTC()
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	switch next := aws.ToTime(p.LastDecreaseDateTime).UTC().Add(time.Hour); {
	case used >= maxDecreases:
		return warmup.Refuse(r, "its capacity was decreased %d times today, which is all that DynamoDB allows, so it could not be brought down again before midnight UTC (in %v); start after that, or leave warm_up.dynamodb out",
			used, midnight.Sub(now).Round(time.Minute))
	case used >= freeDecreases && next.After(now):
		return warmup.Refuse(r, "its capacity was decreased %d times today, the last time at %s, so the next decrease is allowed an hour after that; start at %s, or leave warm_up.dynamodb out",
			used, next.Add(-time.Hour).Format(time.TimeOnly), next.Format(time.TimeOnly))
	}
	return nil
}

// autoScaled notes that Application Auto Scaling changes the table too. Who may not ask is
// told that as well: it stops no run.
func (b *Backend) autoScaled(ctx context.Context, name string) (string, error) {
	if b.cfg.Scalers == nil {
		return "", nil
	}
	id := "table/" + name[strings.LastIndexByte(name, '/')+1:]
	out, err := b.cfg.Scalers.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{
		ServiceNamespace: scaling.ServiceNamespaceDynamodb, ResourceIds: []string{id},
	})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return fmt.Sprintf("whether Application Auto Scaling changes it too is not known: %v", err), nil
	}
	for _, target := range out.ScalableTargets {
		if target.ScalableDimension == scaling.ScalableDimensionDynamoDBTableReadCapacityUnits {
			return fmt.Sprintf("Application Auto Scaling keeps its read units between %d and %d and may undo the raise, or change it while it is up; suspend it for the run, or raise its minimum instead",
				aws.ToInt32(target.MinCapacity), aws.ToInt32(target.MaxCapacity)), nil
		}
	}
	return "", nil
}

// Apply asks for another capacity. Settings that are not named stay.
func (b *Backend) Apply(ctx context.Context, name string, to warmup.Values) error {
	t, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	now, in := values(t), &dynamodb.UpdateTableInput{TableName: &name}
	units := func(setting string) *int64 { return aws.Int64(number(cmp.Or(to[setting], now[setting]))) }
	if to[WarmReads] != "" || to[WarmWrites] != "" {
		in.WarmThroughput = &types.WarmThroughput{ReadUnitsPerSecond: units(WarmReads), WriteUnitsPerSecond: units(WarmWrites)}
	} else {
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: units(ReadUnits), WriteCapacityUnits: units(WriteUnits)}
	}
	_, err = b.cfg.API.UpdateTable(ctx, in)
	if _, busy := errors.AsType[*types.ResourceInUseException](err); busy {
		return fmt.Errorf("table %s: %w", name, warmup.ErrBusy)
	}
	if err != nil {
		return fmt.Errorf("update table %s: %w", name, err)
	}
	return nil
}

// Mark tags the table.
func (b *Backend) Mark(ctx context.Context, name, holder, text string) error {
	t, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	_, err = b.cfg.API.TagResource(ctx, &dynamodb.TagResourceInput{
		ResourceArn: t.TableArn, Tags: []types.Tag{{Key: aws.String(tagPrefix + holder), Value: &text}},
	})
	if err != nil {
		return fmt.Errorf("tag table %s (which takes %d tags): %w", name, maxTags, err)
	}
	return nil
}

// Unmark removes the tag.
func (b *Backend) Unmark(ctx context.Context, name, holder string) error {
	t, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	_, err = b.cfg.API.UntagResource(ctx, &dynamodb.UntagResourceInput{ResourceArn: t.TableArn, TagKeys: []string{tagPrefix + holder}})
	if err != nil {
		return fmt.Errorf("untag table %s: %w", name, err)
	}
	return nil
}
