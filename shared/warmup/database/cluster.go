package database

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// KindCluster is the kind of Aurora Serverless v2 clusters; their names are identifiers.
const KindCluster = "db-cluster"

// MinACU is a cluster's only setting: its minimum capacity, in Aurora capacity units.
const MinACU = "min_acu"

// Clusters scales Aurora Serverless v2 clusters.
type Clusters struct{ api API }

var _ warmup.Backend = (*Clusters)(nil)

// NewClusters gives the backend of clusters.
func NewClusters(api API) *Clusters { return &Clusters{api} }

// Kind gives "db-cluster".
func (b *Clusters) Kind() string { return KindCluster }

func (b *Clusters) describe(ctx context.Context, name string) (*types.DBCluster, error) {
	out, err := b.api.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &name})
	if err != nil {
		return nil, wrap("describe database cluster", name, err)
	}
	if len(out.DBClusters) != 1 {
		return nil, fmt.Errorf("database cluster %s: %w", name, warmup.ErrGone)
	}
	return &out.DBClusters[0], nil
}

// FormatACU gives capacity units as a value.
func FormatACU(units float64) string { return strconv.FormatFloat(units, 'f', -1, 64) }

func values(c *types.DBCluster) warmup.Values {
	if s := c.ServerlessV2ScalingConfiguration; s != nil {
		return warmup.Values{MinACU: FormatACU(aws.ToFloat64(s.MinCapacity))}
	}
	return warmup.Values{}
}

// Read reads a cluster's minimum capacity and marks.
func (b *Clusters) Read(ctx context.Context, name string) (warmup.State, error) {
	c, err := b.describe(ctx, name)
	if err != nil {
		return warmup.State{}, err
	}
	s := warmup.State{Values: values(c)}
	if status := aws.ToString(c.Status); status != available {
		s.Busy = "it is " + status
	}
	s.Marks, err = marks(ctx, b.api, name, c.DBClusterArn)
	return s, err
}

// Plan raises the minimum capacity, within the cluster's own maximum.
func (b *Clusters) Plan(ctx context.Context, name string, want warmup.Values) (warmup.Change, error) {
	r := warmup.Resource{Kind: KindCluster, Name: name}
	c, err := b.describe(ctx, name)
	if err != nil {
		return warmup.Change{}, err
	}
	change := warmup.Change{Resource: r, From: values(c), To: values(c)}
	scaling := c.ServerlessV2ScalingConfiguration
	if scaling == nil {
		return change, warmup.Refuse(r, "it is no Aurora Serverless v2 cluster; name one, or an instance with its class")
	}
	if clusterPending(c) {
		return change, refuseClusterPending(name)
	}
	units, err := strconv.ParseFloat(want[MinACU], 64)
	if err != nil {
		return change, fmt.Errorf("%s: min_acu %q is no number", r, want[MinACU])
	}
	if most := aws.ToFloat64(scaling.MaxCapacity); units > most {
		return change, warmup.Refuse(r, "min_acu %v is above its own maximum of %v; lower the one, or raise the other yourself", units, most)
	}
	if units > aws.ToFloat64(scaling.MinCapacity) {
		change.To = warmup.Values{MinACU: FormatACU(units)}
	}
	return change, nil
}

// clusterPending tells whether something waits that a change made now would bring along.
func clusterPending(c *types.DBCluster) bool {
	p := c.PendingModifiedValues
	if p == nil {
		return false
	}
	return p.AllocatedStorage != nil || p.BackupRetentionPeriod != nil || p.CertificateDetails != nil ||
		p.DBClusterIdentifier != nil || p.EngineVersion != nil || p.IAMDatabaseAuthenticationEnabled != nil ||
		p.Iops != nil || p.MasterUserPassword != nil || p.PendingCloudwatchLogsExports != nil || p.StorageType != nil
}

func refuseClusterPending(name string) error {
	return warmup.Refuse(warmup.Resource{Kind: KindCluster, Name: name},
		"it has pending modifications, and another change would apply them too, at once; apply or withdraw them first")
}

// Apply sets the minimum capacity.
func (b *Clusters) Apply(ctx context.Context, name string, to warmup.Values) error {
	c, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	if clusterPending(c) {
		return refuseClusterPending(name)
	}
	units, err := strconv.ParseFloat(to[MinACU], 64)
	if err != nil {
		return fmt.Errorf("database cluster %s: min_acu %q is no number", name, to[MinACU])
	}
	_, err = b.api.ModifyDBCluster(ctx, &rds.ModifyDBClusterInput{
		DBClusterIdentifier: &name, ApplyImmediately: aws.Bool(true),
		ServerlessV2ScalingConfiguration: &types.ServerlessV2ScalingConfiguration{MinCapacity: &units},
	})
	return wrap("modify database cluster", name, err)
}

// Mark tags the cluster.
func (b *Clusters) Mark(ctx context.Context, name, holder, text string) error {
	c, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	return mark(ctx, b.api, name, c.DBClusterArn, holder, text)
}

// Unmark removes the tag.
func (b *Clusters) Unmark(ctx context.Context, name, holder string) error {
	c, err := b.describe(ctx, name)
	if err != nil {
		return err
	}
	return unmark(ctx, b.api, name, c.DBClusterArn, holder)
}
