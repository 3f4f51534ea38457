package warmup

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// What the jobs of these tests scale.
const (
	tableName   = "features"
	instanceID  = "events-db"
	clusterID   = "events-aurora"
	readUnits   = 50 // before
	raisedUnits = 500
	raisedClass = "db.r6g.4xlarge"
	raisedACU   = "16"
)

// account asks DynamoDB and RDS by hand: no line of what is tested has a part in it.
type account struct {
	t   testing.TB
	url string
}

// state is what an account has, and marks that somebody holds something of it.
type state struct {
	Table, Instance, Cluster string // status
	ReadUnits                int64
	Class, ACU               string
	Marks                    []string
}

// String gives the state in a line.
func (s state) String() string {
	return fmt.Sprintf("table %s with %d read units, instance %s of class %s, cluster %s with %s ACU at least, marks %q",
		s.Table, s.ReadUnits, s.Instance, s.Class, s.Cluster, s.ACU, s.Marks)
}

func (s state) quiet() bool {
	return s.Table == "ACTIVE" && s.Instance == "available" && s.Cluster == "available"
}

func (s state) raised() bool {
	return s.quiet() && s.ReadUnits == raisedUnits && s.Class == raisedClass && s.ACU == raisedACU
}

// unraised tells whether everything has what it had before, whatever marks are there still.
func (s state) unraised(before state) bool {
	s.Marks = before.Marks
	return s.String() == before.String()
}

// dynamodb makes a call to DynamoDB.
func (a account) dynamodb(operation string, in, out any) {
	a.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		a.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	a.do("dynamodb", request, func(data []byte) error { return json.Unmarshal(data, out) })
}

// rds makes a call to RDS.
func (a account) rds(action string, out any, more ...string) {
	a.t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2014-10-31"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	request, err := http.NewRequest(http.MethodPost, a.url, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a.do("rds", request, func(data []byte) error { return xml.Unmarshal(data, out) })
}

func (a account) do(service string, request *http.Request, decode func([]byte) error) {
	a.t.Helper()
	// Nobody here checks a signature, but some emulators go by its scope.
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, data)
	}
	if err == nil {
		err = decode(data)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

type described struct {
	Table struct {
		TableArn, TableStatus string
		ProvisionedThroughput struct{ ReadCapacityUnits, WriteCapacityUnits int64 }
	}
}

// state reads all of it.
func (a account) state() state {
	a.t.Helper()
	var table described
	a.dynamodb("DescribeTable", map[string]any{"TableName": tableName}, &table)
	var tags struct{ Tags []struct{ Key, Value string } }
	a.dynamodb("ListTagsOfResource", map[string]any{"ResourceArn": table.Table.TableArn}, &tags)
	s := state{Table: table.Table.TableStatus, ReadUnits: table.Table.ProvisionedThroughput.ReadCapacityUnits}
	for _, tag := range tags.Tags {
		s.Marks = append(s.Marks, "table "+tag.Key+"="+tag.Value)
	}
	var instance struct {
		ARN     string `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>DBInstanceArn"`
		Class   string `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>DBInstanceClass"`
		Status  string `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>DBInstanceStatus"`
		Pending string `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>PendingModifiedValues>DBInstanceClass"`
	}
	a.rds("DescribeDBInstances", &instance, "DBInstanceIdentifier", instanceID)
	s.Class, s.Instance = instance.Class, instance.Status
	if instance.Pending != "" {
		s.Instance += ", pending " + instance.Pending
	}
	var cluster struct {
		ARN    string `xml:"DescribeDBClustersResult>DBClusters>DBCluster>DBClusterArn"`
		ACU    string `xml:"DescribeDBClustersResult>DBClusters>DBCluster>ServerlessV2ScalingConfiguration>MinCapacity"`
		Status string `xml:"DescribeDBClustersResult>DBClusters>DBCluster>Status"`
	}
	a.rds("DescribeDBClusters", &cluster, "DBClusterIdentifier", clusterID)
	s.ACU, s.Cluster = cluster.ACU, cluster.Status
	for _, arn := range []string{instance.ARN, cluster.ARN} {
		var tags struct {
			Keys []string `xml:"ListTagsForResourceResult>TagList>Tag>Key"`
		}
		a.rds("ListTagsForResource", &tags, "ResourceName", arn)
		for _, key := range tags.Keys {
			s.Marks = append(s.Marks, arn+" "+key)
		}
	}
	slices.Sort(s.Marks)
	return s
}

// setReadUnits changes the table by hand.
func (a account) setReadUnits(n int64) {
	a.t.Helper()
	harness.Await(a.t, "the table takes a change", func() bool { return a.state().Table == "ACTIVE" })
	a.dynamodb("UpdateTable", map[string]any{"TableName": tableName, "ProvisionedThroughput": map[string]any{"ReadCapacityUnits": n, "WriteCapacityUnits": 1}}, &struct{}{})
}

// await waits until the account's state is as wanted, and shows what it is if it never is.
func (a account) await(what string, ok func(state) bool) state {
	a.t.Helper()
	var s state
	failed := true
	defer func() {
		if failed {
			a.t.Logf("the account has %s", s)
		}
	}()
	harness.Await(a.t, what, func() bool { s = a.state(); return ok(s) })
	failed = false
	return s
}

// is waits until the account is as it was before.
func (a account) is(before state) {
	a.t.Helper()
	a.await("everything is as it was before: "+before.String(), func(s state) bool { return s.String() == before.String() })
}
