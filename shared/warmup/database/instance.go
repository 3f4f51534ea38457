package database

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// KindInstance is the kind of database instances; their names are identifiers.
const KindInstance = "db-instance"

// Class is an instance's only setting.
const Class = "class"

// Instances scales database instances.
type Instances struct{ api API }

var _ warmup.Backend = (*Instances)(nil)

// NewInstances gives the backend of instances.
func NewInstances(api API) *Instances { return &Instances{api} }

// Kind gives "db-instance".
func (b *Instances) Kind() string { return KindInstance }

func (b *Instances) describe(ctx context.Context, name string) (*types.DBInstance, error) {
	out, err := b.api.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &name})
	if err != nil {
		return nil, wrap("describe database instance", name, err)
	}
	if len(out.DBInstances) != 1 {
		return nil, fmt.Errorf("database instance %s: %w", name, warmup.ErrGone)
	}
	return &out.DBInstances[0], nil
}

// Read reads an instance's class and marks.
func (b *Instances) Read(ctx context.Context, name string) (warmup.State, error) {
	i, err := b.describe(ctx, name)
	if err != nil {
		return warmup.State{}, err
	}
	s := warmup.State{Values: warmup.Values{Class: aws.ToString(i.DBInstanceClass)}, Busy: busy(i)}
	s.Marks, err = marks(ctx, b.api, name, i.DBInstanceArn)
	return s, err
}

func busy(i *types.DBInstance) string {
	if status := aws.ToString(i.DBInstanceStatus); status != available {
		return "it is " + status
	}
	if p := i.PendingModifiedValues; p != nil && p.DBInstanceClass != nil {
		return "its change to class " + *p.DBInstanceClass + " is pending"
	}
	return ""
}

// otherPending tells whether something waits for the maintenance window that a change made
// now would bring along.
func otherPending(i *types.DBInstance) bool {
	p := i.PendingModifiedValues
	if p == nil {
		return false
	}
	return p.AllocatedStorage != nil || p.BackupRetentionPeriod != nil || p.CACertificateIdentifier != nil ||
		p.DBInstanceIdentifier != nil || p.DBSubnetGroupName != nil || p.DedicatedLogVolume != nil || p.Engine != nil ||
		p.EngineVersion != nil || p.IAMDatabaseAuthenticationEnabled != nil || p.Iops != nil || p.LicenseModel != nil ||
		p.MasterUserPassword != nil || p.MultiAZ != nil || p.MultiTenant != nil || p.PendingCloudwatchLogsExports != nil ||
		p.Port != nil || len(p.ProcessorFeatures) > 0 || p.StorageThroughput != nil || p.StorageType != nil
}

func (b *Instances) refusePending(name string) error {
	return warmup.Refuse(warmup.Resource{Kind: KindInstance, Name: name},
		"it has pending modifications, and a class change would apply them too, at once; apply or withdraw them first")
}

// Plan raises the class if the wanted one is larger.
func (b *Instances) Plan(ctx context.Context, name string, want warmup.Values) (warmup.Change, error) {
	r := warmup.Resource{Kind: KindInstance, Name: name}
	i, err := b.describe(ctx, name)
	if err != nil {
		return warmup.Change{}, err
	}
	now, next := aws.ToString(i.DBInstanceClass), want[Class]
	c := warmup.Change{Resource: r, From: warmup.Values{Class: now}, To: warmup.Values{Class: now}}
	has, needs := size(now), size(next)
	switch {
	case otherPending(i):
		return c, b.refusePending(name)
	case has == 0 || needs == 0:
		return c, warmup.Refuse(r, "whether class %s is larger than %s cannot be told; name a class such as db.r6g.4xlarge (of an Aurora Serverless cluster give cluster and min_acu)", next, now)
	case needs <= has:
		if now != next {
			c.Notes = []string{fmt.Sprintf("its class %s is no smaller than %s; it is left as it is", now, next)}
		}
		return c, nil
	}
	c.To = warmup.Values{Class: next}
	outage := "minutes each; it is not Multi-AZ"
	if aws.ToBool(i.MultiAZ) {
		outage = "a failover of 60 to 120 seconds each"
	}
	c.Notes = []string{"changing the class is an outage, paid twice, on the way up and on the way down: " + outage}
	return c, nil
}

// size gives how large a class is, in steps that double; 0 = not known.
func size(class string) float64 {
	parts := strings.Split(class, ".")
	if len(parts) != 3 || parts[0] != "db" {
		return 0
	}
	if s, ok := map[string]float64{"micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1, "xlarge": 2}[parts[2]]; ok {
		return s
	}
	n, err := strconv.Atoi(strings.TrimSuffix(parts[2], "xlarge"))
	if err != nil || !strings.HasSuffix(parts[2], "xlarge") || n < 2 {
		return 0
	}
	return 2 * float64(n)
}

// Apply changes the class at once.
func (b *Instances) Apply(ctx context.Context, name string, to warmup.Values) error {
	i, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	if otherPending(i) {
		return b.refusePending(name)
	}
	class := to[Class]
	_, err = b.api.ModifyDBInstance(ctx, &rds.ModifyDBInstanceInput{
		DBInstanceIdentifier: &name, DBInstanceClass: &class, ApplyImmediately: aws.Bool(true),
	})
	return wrap("modify database instance", name, err)
}

// Mark tags the instance.
func (b *Instances) Mark(ctx context.Context, name, holder, text string) error {
	i, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	return mark(ctx, b.api, name, i.DBInstanceArn, holder, text)
}

// Unmark removes the tag.
func (b *Instances) Unmark(ctx context.Context, name, holder string) error {
	i, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	return unmark(ctx, b.api, name, i.DBInstanceArn, holder)
}
