// Package runfile reads, checks and explains run files: what a run fetches, from
// where, how fast, and where to.
package runfile

import "time"

// Lane is the way on which the feature service is asked for a family.
type Lane string

// The lanes.
const (
	LaneFast Lane = "fast" // all fast families of a user in one request
	LaneSlow Lane = "slow" // a request of its own for each family
	LaneAuto Lane = "auto" // classified by measured latency
)

// Type is the declared type of a feature.
type Type string

// The types of features.
const (
	Double Type = "double"
	Int64  Type = "int64"
	Bool   Type = "bool"
	String Type = "string"
)

// Feature is a feature with a declared type.
type Feature struct {
	Name string
	Type Type
}

// Family is a feature family.
type Family struct {
	ID       string
	Lane     Lane   // LaneFast unless given
	Cached   bool   // true unless given
	Table    string // "" = DynamoDB.Table
	Features []Feature
}

// Layout says where an item holds its features.
type Layout string

// The layouts of items.
const (
	LayoutAttributes Layout = "attributes" // every other attribute is a feature
	LayoutMap        Layout = "map"        // one attribute of type M
	LayoutJSON       Layout = "json"       // one attribute of type S that holds a JSON object
)

// KeyAttribute is one key attribute of the table.
type KeyAttribute struct {
	Name  string
	Value *Template
	Type  string // "S" or "N"
}

// DynamoDB says where cached families are and how their items look.
type DynamoDB struct {
	Table           string
	PartitionKey    KeyAttribute
	SortKey         *KeyAttribute // nil = none
	Layout          Layout
	LayoutAttribute string // the NAME of map:NAME and json:NAME
	Exclude         []string
	TTL             string // attribute of epoch seconds, "" = none
	ConsistentRead  bool
	MaxInFlight     int // calls in flight of one process; default 64
}

// LaneLimits bound one lane of the feature service.
type LaneLimits struct {
	MaxInFlight int // requests, over all instances; 0 = auto, the leader finds it
	Timeout     time.Duration
	MaxFamilies int // of one request; fast lane only, default 20
	MaxAttempts int // of a cell, default 5
}

// FeatureService says how the feature service is reached.
type FeatureService struct {
	URL  string
	Fast LaneLimits
	Slow LaneLimits
}

// S3 is the destination in S3.
type S3 struct {
	Bucket    string
	Prefix    string
	LocalCopy bool // the finished dataset is copied to Output.Dir too
}

// Output says where the dataset goes.
type Output struct {
	Dir       string // "./out" unless given
	S3        *S3
	FileBytes int64 // to which small files are merged at the end; 0 = they stay as they are
}

// Records names the columns of the records file.
type Records struct {
	UserID          string // default "user_id"
	PITCTimestamp   string // default "pitc_timestamp"
	FeatureFamilies string // default "feature_families"
	Attributes      []string
	Timezone        string // IANA name; "" = a time without a zone is an error
}

// Input bounds what producers send.
type Input struct {
	Idle     time.Duration // a producer silent for so long stops the run; default 30m
	MaxBytes int64         // default 4 GB
}

// File is a run file that was read and checked.
type File struct {
	Run            string
	Families       []Family
	DynamoDB       *DynamoDB
	FeatureService *FeatureService
	Output         Output
	Records        Records
	Input          Input
	WarmUp         *WarmUp
	FailurePolicy  FailurePolicy
	Budget         Budget

	name   string // what errors call the file
	source []byte // as given, ${ENV} unexpanded
	hash   string
	places map[string]*node // where the values of fields are
}

// WarmUp says what is scaled up before a run; a nil part is not touched.
type WarmUp struct {
	TargetDuration time.Duration // what capacities are computed for; default 30m
	MaxHold        time.Duration // after it capacity comes down even if the run goes on; default 6h
	DynamoDB       *WarmUpDynamoDB
	FeatureService *WarmUpFeatureService
	RDS            []WarmUpRDS
}

// WarmUpDynamoDB says how far tables are raised.
type WarmUpDynamoDB struct {
	ExpectedHitRatio    float64
	ItemBytes           int64
	MaxReadUnits        int64
	WriteUnits          int64
	AllowWarmThroughput bool
}

// WarmUpFeatureService says how the feature service is warmed up.
type WarmUpFeatureService struct {
	RequestsPerSecond float64
	MaxDuration       time.Duration
	HPA               *HPA
}

// HPA names a HorizontalPodAutoscaler whose minReplicas is raised.
type HPA struct {
	Namespace   string
	Name        string
	MinReplicas int32
}

// WarmUpRDS is one database: an instance with its class, or an Aurora Serverless v2
// cluster with its minimum capacity.
type WarmUpRDS struct {
	Instance string
	Class    string
	Cluster  string
	MinACU   float64
}

// Do says what is done when a rule of the failure policy is broken.
type Do string

// What can be done.
const (
	Ignore Do = "ignore"
	Warn   Do = "warn"
	Stop   Do = "stop"
)

// Threshold is a rule with a number.
type Threshold struct {
	Over float64
	Do   Do
}

// FailurePolicy says which patterns of failure stop a run. Ratios, and what is said of the
// data, count from 1,000 cells on.
type FailurePolicy struct {
	Window         time.Duration // default 5m
	StallAfter     time.Duration // nothing committed or failed for so long; default 10m
	StallDo        Do            // default stop
	SilentAfter    time.Duration // an instance is not heard of for so long; default 30s
	SilentDo       Do            // default warn
	FailedRatio    Threshold     // of the cells of a stage and family; default 0.01, stop
	RepeatedErrors Threshold     // failed attempts of a stage with the same code; default 100, warn
	NullRatio      Threshold     // of the values of a feature; default 0.5, warn
	NotFinite      Threshold     // share of NaN and infinities in a feature; default 0, warn
	Constant       Do            // default warn
	MissingFeature Do            // default warn
	NewFeature     Do            // default warn
	TypeDrift      Do            // default stop
}

// Budget stops a run before it passes a bound; zero = no bound.
type Budget struct {
	MaxDuration  time.Duration
	MaxReadUnits int64   // of DynamoDB, over all tables
	MaxCostUSD   float64 // of the read units
	// USDPerMillionReadUnits is what they cost; default 0.125.
	USDPerMillionReadUnits float64
}
