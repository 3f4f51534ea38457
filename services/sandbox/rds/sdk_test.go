package rds_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"

	"github.com/fastfeaturefetch/fff/services/sandbox/rds"
	"github.com/fastfeaturefetch/fff/shared/awshttp"
)

// rig is a stand-in with a clock that tests move, and the SDK's client of it.
type rig struct {
	*sdk.Client
	t   *testing.T
	now time.Time
}

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)}
	s := rds.New(rds.Config{StartTime: time.Minute, UpdateTime: 10 * time.Minute, Now: func() time.Time { return r.now }})
	s.AddInstance("events", "db.r6g.large", 100)
	s.AddCluster("aurora", 0.5, 64)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	r.Client = sdk.New(sdk.Options{
		BaseEndpoint: &h.URL, Region: "us-east-1", RetryMaxAttempts: 1, HTTPClient: awshttp.New(2),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
	return r
}

func (r *rig) instance() types.DBInstance {
	r.t.Helper()
	out, err := r.DescribeDBInstances(r.t.Context(), &sdk.DescribeDBInstancesInput{DBInstanceIdentifier: aws.String("events")})
	if err != nil || len(out.DBInstances) != 1 {
		r.t.Fatalf("%+v, %v", out, err)
	}
	return out.DBInstances[0]
}

func (r *rig) modify(in *sdk.ModifyDBInstanceInput) error {
	in.DBInstanceIdentifier = aws.String("events")
	_, err := r.ModifyDBInstance(r.t.Context(), in)
	return err
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// TestClassChange: pending, then modifying, then done; no second change meanwhile.
func TestClassChange(t *testing.T) {
	r := start(t)
	if err := r.modify(&sdk.ModifyDBInstanceInput{DBInstanceClass: aws.String("db.r6g.4xlarge"), ApplyImmediately: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if i := r.instance(); *i.DBInstanceClass != "db.r6g.large" || *i.DBInstanceStatus != "available" || *i.PendingModifiedValues.DBInstanceClass != "db.r6g.4xlarge" {
		t.Errorf("at first: %+v", i)
	}
	r.now = r.now.Add(time.Minute)
	if i := r.instance(); *i.DBInstanceClass != "db.r6g.large" || *i.DBInstanceStatus != "modifying" {
		t.Errorf("then: %+v", i)
	}
	wantCode(t, r.modify(&sdk.ModifyDBInstanceInput{DBInstanceClass: aws.String("db.r6g.large"), ApplyImmediately: aws.Bool(true)}), "InvalidDBInstanceState")
	r.now = r.now.Add(10 * time.Minute)
	if i := r.instance(); *i.DBInstanceClass != "db.r6g.4xlarge" || *i.DBInstanceStatus != "available" || i.PendingModifiedValues.DBInstanceClass != nil {
		t.Errorf("in the end: %+v", i)
	}
}

// TestAllPendingIsAppliedTogether: what waits for the maintenance window comes along with
// the next change that does not wait.
func TestAllPendingIsAppliedTogether(t *testing.T) {
	r := start(t)
	if err := r.modify(&sdk.ModifyDBInstanceInput{AllocatedStorage: aws.Int32(200)}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(24 * time.Hour)
	if i := r.instance(); *i.AllocatedStorage != 100 || *i.PendingModifiedValues.AllocatedStorage != 200 {
		t.Errorf("it did not wait: %+v", i)
	}
	if err := r.modify(&sdk.ModifyDBInstanceInput{DBInstanceClass: aws.String("db.r6g.xlarge"), ApplyImmediately: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Hour)
	if i := r.instance(); *i.AllocatedStorage != 200 || *i.DBInstanceClass != "db.r6g.xlarge" {
		t.Errorf("in the end: %+v", i)
	}
	wantCode(t, r.modify(&sdk.ModifyDBInstanceInput{AllocatedStorage: aws.Int32(100)}), "InvalidParameterCombination")
}

func TestCluster(t *testing.T) {
	r := start(t)
	describe := func() types.DBCluster {
		t.Helper()
		out, err := r.DescribeDBClusters(t.Context(), &sdk.DescribeDBClustersInput{DBClusterIdentifier: aws.String("aurora")})
		if err != nil || len(out.DBClusters) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		return out.DBClusters[0]
	}
	set := func(least float64) error {
		_, err := r.ModifyDBCluster(t.Context(), &sdk.ModifyDBClusterInput{DBClusterIdentifier: aws.String("aurora"),
			ServerlessV2ScalingConfiguration: &types.ServerlessV2ScalingConfiguration{MinCapacity: &least}})
		return err
	}
	wantCode(t, set(65), "InvalidParameterCombination")
	if err := set(16); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(5 * time.Minute)
	if c := describe(); *c.Status != "modifying" || *c.ServerlessV2ScalingConfiguration.MinCapacity != 0.5 {
		t.Errorf("meanwhile: %+v", c)
	}
	r.now = r.now.Add(6 * time.Minute)
	if c := describe(); *c.Status != "available" || *c.ServerlessV2ScalingConfiguration.MinCapacity != 16 || *c.ServerlessV2ScalingConfiguration.MaxCapacity != 64 {
		t.Errorf("in the end: %+v", c)
	}
}

func TestTags(t *testing.T) {
	r := start(t)
	arn := r.instance().DBInstanceArn
	add := func(key, value string) error {
		_, err := r.AddTagsToResource(t.Context(), &sdk.AddTagsToResourceInput{ResourceName: arn, Tags: []types.Tag{{Key: &key, Value: &value}}})
		return err
	}
	if err := errors.Join(add("team", "ml"), add("fff:hold:a", "held class=db.r6g.large/db.r6g.4xlarge")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, add("json", `{"a":1}`), "InvalidParameterValue")
	if _, err := r.RemoveTagsFromResource(t.Context(), &sdk.RemoveTagsFromResourceInput{ResourceName: arn, TagKeys: []string{"team", "none"}}); err != nil {
		t.Fatal(err)
	}
	out, err := r.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceName: arn})
	if err != nil || len(out.TagList) != 1 || *out.TagList[0].Key != "fff:hold:a" || *out.TagList[0].Value != "held class=db.r6g.large/db.r6g.4xlarge" {
		t.Errorf("tags %+v, %v", out, err)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	r := start(t)
	_, err := r.DescribeDBInstances(t.Context(), &sdk.DescribeDBInstancesInput{DBInstanceIdentifier: aws.String("other")})
	if _, ok := errors.AsType[*types.DBInstanceNotFoundFault](err); !ok {
		t.Errorf("got %v", err)
	}
	_, err = r.DescribeDBClusters(t.Context(), &sdk.DescribeDBClustersInput{DBClusterIdentifier: aws.String("other")})
	if _, ok := errors.AsType[*types.DBClusterNotFoundFault](err); !ok {
		t.Errorf("got %v", err)
	}
	wantCode(t, r.modify(&sdk.ModifyDBInstanceInput{Engine: aws.String("mysql")}), "InvalidParameterValue")
	_, err = r.DeleteDBInstance(t.Context(), &sdk.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("events")})
	wantCode(t, err, "InvalidAction")
}
