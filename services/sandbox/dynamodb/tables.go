package dynamodb

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	provisioned = "PROVISIONED"
	onDemand    = "PAY_PER_REQUEST"
)

// Bounds of tables.
const (
	maxTables           = 2500
	maxUnits            = 40_000 // the default quota of a table
	onDemandReadUnits   = 12_000 // what a new on-demand table takes at once
	onDemandWriteUnits  = 4_000
	freeDecreases       = 4 // of a UTC day; then one more for every hour without one
	maxDecreases        = 27
	defaultListedTables = 100
)

type (
	attributeDefinition struct{ AttributeName, AttributeType string }
	keySchemaElement    struct{ AttributeName, KeyType string }
	throughput          struct{ ReadCapacityUnits, WriteCapacityUnits int64 }
	warmThroughput      struct{ ReadUnitsPerSecond, WriteUnitsPerSecond int64 }
	onDemandThroughput  struct{ MaxReadRequestUnits, MaxWriteRequestUnits int64 }
)

type createTableInput struct {
	TableName                 string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keySchemaElement
	BillingMode               string
	ProvisionedThroughput     *throughput
	OnDemandThroughput        *onDemandThroughput
	WarmThroughput            *warmThroughput
	Tags                      []tag
	DeletionProtectionEnabled bool
}

type updateTableInput struct {
	TableName             string
	AttributeDefinitions  []attributeDefinition // needed for indexes only, which there are none of
	BillingMode           string
	ProvisionedThroughput *throughput
	OnDemandThroughput    *onDemandThroughput
	WarmThroughput        *warmThroughput
}

type tableNameInput struct{ TableName string }

type (
	describedOutput struct{ Table description }
	changedOutput   struct{ TableDescription description }
)

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

// description is how DynamoDB describes a table.
type description struct {
	TableName             string
	TableArn              string
	TableId               string
	TableStatus           string
	CreationDateTime      float64
	AttributeDefinitions  []attributeDefinition
	KeySchema             []keySchemaElement
	ItemCount             int
	TableSizeBytes        int
	ProvisionedThroughput provisionedDescription
	BillingModeSummary    *billingSummary     `json:",omitempty"`
	OnDemandThroughput    *onDemandThroughput `json:",omitempty"`
	WarmThroughput        warmDescription
}

type provisionedDescription struct {
	throughput
	NumberOfDecreasesToday int
	LastIncreaseDateTime   float64 `json:",omitempty"`
	LastDecreaseDateTime   float64 `json:",omitempty"`
}

type billingSummary struct{ BillingMode string }

type warmDescription struct {
	warmThroughput
	Status string
}

func epochSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func arn(table string) string {
	return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, account, table)
}

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (s *Server) createTable(in *createTableInput) (*changedOutput, error) {
	return s.createTableIn(in, s.cfg.UpdateTime)
}

// createTableIn makes a table that is CREATING for the given time.
func (s *Server) createTableIn(in *createTableInput, delay time.Duration) (*changedOutput, error) {
	t, err := newTable(in, s.cfg.Now(), delay)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tables[t.name]; ok {
		return nil, errorf(http.StatusBadRequest, "ResourceInUseException", "Table already exists: %s", t.name)
	}
	if len(s.tables) >= maxTables {
		return nil, errorf(http.StatusBadRequest, "LimitExceededException", "Subscriber limit exceeded: there are %d tables already", maxTables)
	}
	s.tables[t.name] = t
	return &changedOutput{t.describe(s.cfg.Now())}, nil
}

// nameOf gives the table's name where requests may name it or its ARN.
func nameOf(nameOrARN string) string {
	if at := strings.LastIndex(nameOrARN, ":table/"); at >= 0 && strings.HasPrefix(nameOrARN, "arn:aws:dynamodb:") {
		return nameOrARN[at+len(":table/"):]
	}
	return nameOrARN
}

// table finds a table, named or by its ARN of any region and account, be it active or
// not.
func (s *Server) table(name string) (*table, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t, ok := s.tables[nameOf(name)]; ok {
		return t, nil
	}
	return nil, tableNotFound(name)
}

// usable finds a table that items can be read from and written to.
func (s *Server) usable(name string) (*table, error) {
	t, err := s.table(name)
	if err != nil {
		return nil, err
	}
	if !t.usable(s.cfg.Now()) {
		return nil, tableNotFound(name)
	}
	return t, nil
}

func (s *Server) describeTable(in *tableNameInput) (*describedOutput, error) {
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return &describedOutput{t.describe(s.cfg.Now())}, nil
}

func (s *Server) updateTable(in *updateTableInput) (*changedOutput, error) {
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if err := t.update(in, now, s.cfg.UpdateTime); err != nil {
		return nil, err
	}
	return &changedOutput{t.describe(now)}, nil
}

func (s *Server) deleteTable(in *tableNameInput) (*changedOutput, error) {
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	d := t.describe(s.cfg.Now())
	switch {
	case d.TableStatus != active:
		return nil, inUse(t.name, d.TableStatus)
	case t.protected:
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	s.mu.Lock()
	delete(s.tables, t.name)
	s.mu.Unlock()
	d.TableStatus = "DELETING"
	return &changedOutput{d}, nil
}

func (s *Server) listTables(in *listTablesInput) (*listTablesOutput, error) {
	if in.Limit < 0 || in.Limit > 100 {
		return nil, invalid("Limit must be between 1 and 100")
	}
	s.mu.RLock()
	names := slices.Sorted(maps.Keys(s.tables))
	s.mu.RUnlock()
	after, found := slices.BinarySearch(names, in.ExclusiveStartTableName)
	if found {
		after++
	}
	out := &listTablesOutput{TableNames: append([]string{}, names[after:]...)}
	if limit := cmp.Or(in.Limit, defaultListedTables); len(out.TableNames) > limit {
		out.TableNames = out.TableNames[:limit]
		out.LastEvaluatedTableName = out.TableNames[limit-1]
	}
	return out, nil
}

func inUse(table, status string) *Error {
	return errorf(http.StatusBadRequest, "ResourceInUseException", "Attempt to change a resource which is still in use: Table %s is %s", table, status)
}
