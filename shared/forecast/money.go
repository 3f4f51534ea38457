package forecast

import (
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Prices are what things cost, in US dollars. AWS changes them and they differ by region:
// they are stated with every result.
type Prices struct {
	OnDemandReadMillion float64 `json:"on_demand_read_million"` // a million read request units
	ReadUnitHour        float64 `json:"read_unit_hour"`         // one provisioned read unit for an hour
	WriteUnitHour       float64 `json:"write_unit_hour"`
	ACUHour             float64 `json:"acu_hour"` // one Aurora capacity unit for an hour
}

// DefaultPrices are those of us-east-1 when this version was made.
func DefaultPrices() Prices {
	return Prices{OnDemandReadMillion: runfile.DefaultReadPrice, ReadUnitHour: 0.00013, WriteUnitHour: 0.00065, ACUHour: 0.12}
}

// Cost is one part of the money that a run costs beyond what is paid anyway.
type Cost struct {
	What string  `json:"what"`
	USD  float64 `json:"usd"`
}

// ReadCost is what reading a table on demand costs.
func (t *Table) ReadCost(p Prices) Cost {
	return Cost{"reads of table " + t.Table + ", on demand", t.ReadUnits / 1e6 * p.OnDemandReadMillion}
}

// HoldCost is what units cost above those that are there anyway, for a time that is rounded
// up to whole hours, as they are billed.
func HoldCost(what string, more float64, held time.Duration, perHour float64) Cost {
	hours := float64((held + time.Hour - 1) / time.Hour)
	return Cost{what, max(more, 0) * max(hours, 1) * perHour}
}
