package warmup

import (
	"os/exec"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/fastfeaturefetch/fff/shared/testport"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// moto is an emulator of AWS that is not ours, asked with the SDK.
type moto struct {
	tables    *dynamodb.Client
	databases *rds.Client
}

// A table, an instance and a cluster of moto are raised for a run, and have what they had
// when it has ended.
func TestOnMoto(t *testing.T) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		harness.Skip(t, "moto_server is not installed, so THE WARM-UP IS NOT TESTED ON AN RDS THAT IS NOT OURS; `pip install 'moto[server,dynamodb,rds]'` has it")
	}
	t.Parallel()
	port := testport.Free(t)
	url := "http://" + testport.Addr(port)
	harness.StartProgram(t, nil, program, "-H", "127.0.0.1", "-p", strconv.Itoa(port))
	harness.Await(t, "moto_server listens", func() bool { return harness.Listens(testport.Addr(port)) })
	j := newJob(t, enough)
	harness.NewBackends(t, j)
	j.Env["AWS_ENDPOINT_URL_DYNAMODB"], j.Env["AWS_ENDPOINT_URL_RDS"] = url, url
	who := credentials.NewStaticCredentialsProvider("moto", "moto", "")
	region := "eu-west-1"
	j.Env["AWS_REGION"], j.Env["AWS_ACCESS_KEY_ID"], j.Env["AWS_SECRET_ACCESS_KEY"] = region, "moto", "moto"
	m := moto{
		tables:    dynamodb.New(dynamodb.Options{BaseEndpoint: &url, Region: region, Credentials: who}),
		databases: rds.New(rds.Options{BaseEndpoint: &url, Region: region, Credentials: who}),
	}
	m.make(t)
	before := m.state(t)
	p := j.Start(t, "--progress", "plain")
	harness.Await(t, "all is raised", func() bool {
		s := m.state(t)
		return s.ReadUnits == raisedUnits && s.Class == raisedClass && s.ACU == raisedACU
	})
	p.Wait(t).Expect(t, 0)
	if after := m.state(t); after.String() != before.String() {
		t.Errorf("before the run: %s\nafter it: %s", before, after)
	}
	j.Verify(t, 0)
}

// make makes all of them.
func (m *moto) make(t *testing.T) {
	t.Helper()
	_, err := m.tables.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(tableName),
		AttributeDefinitions: []dynamotypes.AttributeDefinition{
			{AttributeName: aws.String("user_id"), AttributeType: dynamotypes.ScalarAttributeTypeS},
			{AttributeName: aws.String("feature_key"), AttributeType: dynamotypes.ScalarAttributeTypeS},
		},
		KeySchema: []dynamotypes.KeySchemaElement{
			{AttributeName: aws.String("user_id"), KeyType: dynamotypes.KeyTypeHash},
			{AttributeName: aws.String("feature_key"), KeyType: dynamotypes.KeyTypeRange},
		},
		ProvisionedThroughput: &dynamotypes.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(readUnits), WriteCapacityUnits: aws.Int64(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.databases.CreateDBInstance(t.Context(), &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String(instanceID), DBInstanceClass: aws.String("db.t3.micro"), Engine: aws.String("postgres"),
		AllocatedStorage: aws.Int32(20), MasterUsername: aws.String("events"), MasterUserPassword: aws.String("not-a-secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.databases.CreateDBCluster(t.Context(), &rds.CreateDBClusterInput{
		DBClusterIdentifier: aws.String(clusterID), Engine: aws.String("aurora-postgresql"),
		MasterUsername: aws.String("events"), MasterUserPassword: aws.String("not-a-secret"),
		ServerlessV2ScalingConfiguration: &rdstypes.ServerlessV2ScalingConfiguration{MinCapacity: aws.Float64(0.5), MaxCapacity: aws.Float64(32)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// state reads all of them.
func (m *moto) state(t *testing.T) (s state) {
	t.Helper()
	table, err := m.tables.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(tableName)})
	if err != nil {
		t.Fatal(err)
	}
	s.Table, s.ReadUnits = string(table.Table.TableStatus), *table.Table.ProvisionedThroughput.ReadCapacityUnits
	tags, err := m.tables.ListTagsOfResource(t.Context(), &dynamodb.ListTagsOfResourceInput{ResourceArn: table.Table.TableArn})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags.Tags {
		s.Marks = append(s.Marks, "table "+*tag.Key)
	}
	instances, err := m.databases.DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: aws.String(instanceID)})
	if err != nil {
		t.Fatal(err)
	}
	instance := instances.DBInstances[0]
	s.Instance, s.Class = *instance.DBInstanceStatus, *instance.DBInstanceClass
	clusters, err := m.databases.DescribeDBClusters(t.Context(), &rds.DescribeDBClustersInput{DBClusterIdentifier: aws.String(clusterID)})
	if err != nil {
		t.Fatal(err)
	}
	cluster := clusters.DBClusters[0]
	s.Cluster, s.ACU = *cluster.Status, strconv.FormatFloat(*cluster.ServerlessV2ScalingConfiguration.MinCapacity, 'f', -1, 64)
	for _, tag := range append(instance.TagList, cluster.TagList...) {
		s.Marks = append(s.Marks, "database "+*tag.Key)
	}
	return s
}
