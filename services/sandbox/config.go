package sandbox

import (
	"fmt"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Config holds the sandbox's settings.
type Config struct {
	DynamoDBAddr       string `envconfig:"FFF_SANDBOX_DYNAMODB_ADDR" default:"127.0.0.1:8000" desc:"Address of the stand-in for DynamoDB and RDS, as host:port; port 0 takes a free one."`
	FeatureServiceAddr string `envconfig:"FFF_SANDBOX_FEATURE_SERVICE_ADDR" default:"127.0.0.1:8090" desc:"Address of the stand-in for the feature service, as host:port; port 0 takes a free one."`

	FeaturesPerFamily int     `envconfig:"FFF_SANDBOX_FEATURES_PER_FAMILY" default:"60" min:"1" max:"2000" desc:"Features of each family; those that the run file declares come first."`
	HitRatio          float64 `envconfig:"FFF_SANDBOX_HIT_RATIO" default:"0.8" min:"0" max:"1" desc:"Share of the cached cells that have a DynamoDB item."`
	ExpiredRatio      float64 `envconfig:"FFF_SANDBOX_EXPIRED_RATIO" default:"0" min:"0" max:"1" desc:"Share of the items that are past their time to live, if the run file names one."`

	ReadUnits          int64         `envconfig:"FFF_SANDBOX_READ_UNITS" default:"0" min:"0" max:"40000" desc:"Provisioned read units of the tables; 0 makes them on demand, without throttling."`
	TableUpdateTime    time.Duration `envconfig:"FFF_SANDBOX_TABLE_UPDATE_TIME" default:"2s" min:"0s" max:"1h" desc:"How long a change of a table's capacity takes."`
	DatabaseUpdateTime time.Duration `envconfig:"FFF_SANDBOX_DATABASE_UPDATE_TIME" default:"4s" min:"0s" max:"1h" desc:"How long a change of an RDS instance's class, or of a cluster's capacity, takes."`
	DynamoDBLatency    time.Duration `envconfig:"FFF_SANDBOX_DYNAMODB_LATENCY" default:"0s" min:"0s" max:"1m" desc:"How long a read of DynamoDB takes at least."`

	Threads    int           `envconfig:"FFF_SANDBOX_THREADS" default:"64" min:"1" max:"10000" desc:"Requests that the feature service works on at the same time."`
	Knee       int           `envconfig:"FFF_SANDBOX_KNEE" default:"0" min:"0" max:"10000" desc:"Requests at which each takes twice as long: n of them take 1 + (n/knee)² times as long; 0 = they do not slow each other down."`
	Queue      int           `envconfig:"FFF_SANDBOX_QUEUE" default:"256" min:"0" max:"100000" desc:"Requests that wait for one of its threads."`
	Overflow   string        `envconfig:"FFF_SANDBOX_OVERFLOW" default:"wait" oneof:"wait|429|503" desc:"What a request gets when the queue is full: it waits all the same, or is refused with this status."`
	RetryAfter time.Duration `envconfig:"FFF_SANDBOX_RETRY_AFTER" default:"1s" min:"0s" max:"1h" desc:"Retry-After of those refusals, in whole seconds; 0 leaves it out."`
	FastMin    time.Duration `envconfig:"FFF_SANDBOX_FAST_MIN" default:"0s" min:"0s" max:"1h" desc:"Shortest time that the feature service takes for a family of the fast lane."`
	FastMax    time.Duration `envconfig:"FFF_SANDBOX_FAST_MAX" default:"2ms" min:"0s" max:"1h" desc:"Longest time that it takes for one."`
	SlowMin    time.Duration `envconfig:"FFF_SANDBOX_SLOW_MIN" default:"20ms" min:"0s" max:"1h" desc:"Shortest time that the feature service takes for a family of the slow lane."`
	SlowMax    time.Duration `envconfig:"FFF_SANDBOX_SLOW_MAX" default:"80ms" min:"0s" max:"1h" desc:"Longest time that it takes for one."`
}

// Validate checks what the fields say together.
func (c *Config) Validate() error {
	for _, lane := range []struct {
		name     string
		min, max time.Duration
	}{{"FAST", c.FastMin, c.FastMax}, {"SLOW", c.SlowMin, c.SlowMax}} {
		if lane.max < lane.min {
			return &settings.Error{
				Variable: "FFF_SANDBOX_" + lane.name + "_MAX", Value: lane.max.String(),
				Problem: fmt.Sprintf("below FFF_SANDBOX_%s_MIN=%s", lane.name, lane.min), Remedy: "raise the one or lower the other",
			}
		}
	}
	return nil
}

func (c *Config) synth() dynamodb.SynthConfig {
	return dynamodb.SynthConfig{HitRatio: c.HitRatio, ExpiredRatio: c.ExpiredRatio, FeaturesPerFamily: c.FeaturesPerFamily}
}

// latency gives what a family of a lane takes.
func (c *Config) latency(lane runfile.Lane) featureservice.Range {
	if lane == runfile.LaneSlow {
		return featureservice.Range{Min: c.SlowMin, Max: c.SlowMax}
	}
	return featureservice.Range{Min: c.FastMin, Max: c.FastMax}
}
