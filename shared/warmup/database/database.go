// Package database scales RDS: the class of an instance, which is an outage each way, and
// the minimum capacity of an Aurora Serverless v2 cluster, which is none. It never touches
// storage, which can only grow.
package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// tagPrefix is what the keys of marks begin with.
const tagPrefix = "fff:hold:"

// available is the status of a database that takes changes.
const available = "available"

// API is what is called of RDS.
type API interface {
	DescribeDBInstances(context.Context, *rds.DescribeDBInstancesInput, ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error)
	ModifyDBInstance(context.Context, *rds.ModifyDBInstanceInput, ...func(*rds.Options)) (*rds.ModifyDBInstanceOutput, error)
	DescribeDBClusters(context.Context, *rds.DescribeDBClustersInput, ...func(*rds.Options)) (*rds.DescribeDBClustersOutput, error)
	ModifyDBCluster(context.Context, *rds.ModifyDBClusterInput, ...func(*rds.Options)) (*rds.ModifyDBClusterOutput, error)
	ListTagsForResource(context.Context, *rds.ListTagsForResourceInput, ...func(*rds.Options)) (*rds.ListTagsForResourceOutput, error)
	AddTagsToResource(context.Context, *rds.AddTagsToResourceInput, ...func(*rds.Options)) (*rds.AddTagsToResourceOutput, error)
	RemoveTagsFromResource(context.Context, *rds.RemoveTagsFromResourceInput, ...func(*rds.Options)) (*rds.RemoveTagsFromResourceOutput, error)
}

// wrap says what failed, and tells what is gone or busy from the rest.
func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	api, _ := errors.AsType[smithy.APIError](err)
	if api != nil && strings.HasPrefix(api.ErrorCode(), "InvalidDB") && strings.Contains(api.ErrorCode(), "State") {
		return fmt.Errorf("%s %s: %w", what, name, warmup.ErrBusy)
	}
	_, noInstance := errors.AsType[*types.DBInstanceNotFoundFault](err)
	_, noCluster := errors.AsType[*types.DBClusterNotFoundFault](err)
	if noInstance || noCluster {
		return fmt.Errorf("%s: %w", name, warmup.ErrGone)
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

func marks(ctx context.Context, api API, name string, arn *string) (map[string]string, error) {
	out, err := api.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: arn})
	if err != nil {
		return nil, wrap("read the tags of", name, err)
	}
	found := map[string]string{}
	for _, tag := range out.TagList {
		if holder, ours := strings.CutPrefix(aws.ToString(tag.Key), tagPrefix); ours {
			found[holder] = aws.ToString(tag.Value)
		}
	}
	return found, nil
}

func mark(ctx context.Context, api API, name string, arn *string, holder, text string) error {
	_, err := api.AddTagsToResource(ctx, &rds.AddTagsToResourceInput{
		ResourceName: arn, Tags: []types.Tag{{Key: aws.String(tagPrefix + holder), Value: &text}},
	})
	return wrap("tag", name, err)
}

func unmark(ctx context.Context, api API, name string, arn *string, holder string) error {
	_, err := api.RemoveTagsFromResource(ctx, &rds.RemoveTagsFromResourceInput{ResourceName: arn, TagKeys: []string{tagPrefix + holder}})
	return wrap("untag", name, err)
}
