package dynamodb

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nuid"
)

// The states of a table.
const (
	active   = "ACTIVE"
	creating = "CREATING"
	updating = "UPDATING"
)

// keyAttribute is one key attribute of a table.
type keyAttribute struct {
	name string
	typ  string // S, N or B
}

// table is one table: its settings, its items, and what is left of its capacity.
type table struct {
	name      string
	id        string
	partition keyAttribute
	sort      *keyAttribute // nil = none
	created   time.Time
	protected bool
	read      capacity
	write     capacity

	mu        sync.RWMutex
	synth     *Synth // nil = stored items only
	items     map[string]storedItem
	itemBytes int
	tags      map[string]string
	scale     scale
	next      scale     // what becomes of scale when the table is active again
	status    string    // active unless a change is under way until activeAt
	activeAt  time.Time // when a change that is under way is done

	decreases                  int // of the UTC day of lastDecrease
	lastIncrease, lastDecrease time.Time
}

// scale is what a table is scaled to.
type scale struct {
	billing  string
	units    throughput // zero on demand
	warm     warmThroughput
	onDemand *onDemandThroughput
}

// newTable makes a table that is CREATING for the given time.
func newTable(in *createTableInput, now time.Time, delay time.Duration) (*table, error) {
	if !tableName.MatchString(in.TableName) {
		return nil, invalid("TableName %q must be 3 to 255 characters of a-z, A-Z, 0-9, '_', '-' and '.'", in.TableName)
	}
	t := &table{
		name: in.TableName, id: nuid.Next(), created: now, protected: in.DeletionProtectionEnabled,
		items: map[string]storedItem{}, tags: map[string]string{},
		status: creating, activeAt: now.Add(delay),
	}
	if err := t.setKeys(in.KeySchema, in.AttributeDefinitions); err != nil {
		return nil, err
	}
	if err := t.addTags(in.Tags); err != nil {
		return nil, err
	}
	next, err := scale{billing: provisioned}.change(in.BillingMode, in.ProvisionedThroughput, in.OnDemandThroughput)
	if err == nil {
		next, err = next.heat(in.WarmThroughput)
	}
	if err != nil {
		return nil, err
	}
	t.scale, t.next = next, next
	t.read.set(now, next.units.ReadCapacityUnits)
	t.write.set(now, next.units.WriteCapacityUnits)
	return t, nil
}

func (t *table) setKeys(schema []keySchemaElement, definitions []attributeDefinition) error {
	if len(schema) == 0 || len(schema) > 2 || schema[0].KeyType != "HASH" || len(schema) == 2 && schema[1].KeyType != "RANGE" {
		return invalid("KeySchema must hold one HASH element, and at most one RANGE element after it")
	}
	if len(definitions) != len(schema) {
		return invalid("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	keys := make([]keyAttribute, len(schema))
	for i, k := range schema {
		at := slices.IndexFunc(definitions, func(d attributeDefinition) bool { return d.AttributeName == k.AttributeName })
		if at < 0 || !slices.Contains([]string{"S", "N", "B"}, definitions[at].AttributeType) || k.AttributeName == "" {
			return invalid("key attribute %q must be defined in AttributeDefinitions, with type S, N or B", k.AttributeName)
		}
		keys[i] = keyAttribute{k.AttributeName, definitions[at].AttributeType}
	}
	t.partition = keys[0]
	if len(keys) == 2 {
		t.sort = &keys[1]
	}
	return nil
}

// settle makes a change take effect whose time has come. The caller holds t.mu.
func (t *table) settle(now time.Time) {
	if t.status == active || now.Before(t.activeAt) {
		return
	}
	t.status, t.scale = active, t.next
	t.read.set(now, t.scale.units.ReadCapacityUnits)
	t.write.set(now, t.scale.units.WriteCapacityUnits)
}

// usable says whether items can be read and written.
func (t *table) usable(now time.Time) bool {
	t.mu.RLock()
	status := t.status
	t.mu.RUnlock()
	if status == active {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	return t.status != creating
}

// update begins a change; until it is done the table is UPDATING and keeps its old
// capacity.
func (t *table) update(in *updateTableInput, now time.Time, delay time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	if t.status != active {
		return inUse(t.name, t.status)
	}
	if in.BillingMode == "" && in.ProvisionedThroughput == nil && in.OnDemandThroughput == nil && in.WarmThroughput == nil {
		return invalid("At least one of ProvisionedThroughput, BillingMode, OnDemandThroughput, WarmThroughput is required")
	}
	next, err := t.scale.change(in.BillingMode, in.ProvisionedThroughput, in.OnDemandThroughput)
	if err == nil {
		next, err = next.heat(in.WarmThroughput)
	}
	if err != nil {
		return err
	}
	old, units := t.scale.units, next.units
	if in.ProvisionedThroughput != nil && in.BillingMode == "" && units == old {
		return invalid("The provisioned throughput for the table will not change. The requested value equals the current value.")
	}
	if next.billing == provisioned && t.scale.billing == provisioned {
		if units.ReadCapacityUnits < old.ReadCapacityUnits || units.WriteCapacityUnits < old.WriteCapacityUnits {
			if err := t.countDecrease(now); err != nil {
				return err
			}
		}
		if units.ReadCapacityUnits > old.ReadCapacityUnits || units.WriteCapacityUnits > old.WriteCapacityUnits {
			t.lastIncrease = now
		}
	}
	t.next, t.status, t.activeAt = next, updating, now.Add(delay)
	return nil
}

// decreasesToday counts the decreases of the UTC day. The caller holds t.mu.
func (t *table) decreasesToday(now time.Time) int {
	if t.lastDecrease.UTC().Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		return 0
	}
	return t.decreases
}

func (t *table) countDecrease(now time.Time) error {
	n := t.decreasesToday(now)
	if n >= maxDecreases || n >= freeDecreases && now.Sub(t.lastDecrease) < time.Hour {
		return errorf(http.StatusBadRequest, "LimitExceededException", "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the first %d decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 seconds. Number of decreases today: %d.", freeDecreases, n)
	}
	t.decreases, t.lastDecrease = n+1, now
	return nil
}

// change gives the scale after a change of billing mode and capacity.
func (c scale) change(billing string, units *throughput, limit *onDemandThroughput) (scale, error) {
	if billing != "" {
		c.billing = billing
	}
	switch c.billing {
	case provisioned:
		if units != nil {
			c.units = *units
		}
		if min(c.units.ReadCapacityUnits, c.units.WriteCapacityUnits) < 1 {
			return c, invalid("ProvisionedThroughput needs ReadCapacityUnits and WriteCapacityUnits of at least 1 when BillingMode is PROVISIONED")
		}
		if max(c.units.ReadCapacityUnits, c.units.WriteCapacityUnits) > maxUnits {
			return c, errorf(http.StatusBadRequest, "LimitExceededException", "a table takes at most %d units", maxUnits)
		}
		c.onDemand = nil
	case onDemand:
		if units != nil {
			return c, invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
		}
		c.units = throughput{}
		if limit != nil {
			c.onDemand = limit
		}
	default:
		return c, invalid("BillingMode %q is not one of PROVISIONED, PAY_PER_REQUEST", billing)
	}
	return c, nil
}

// heat raises the warm throughput to what is asked for, and to what the capacity
// implies. It never falls.
func (c scale) heat(asked *warmThroughput) (scale, error) {
	if asked != nil {
		if asked.ReadUnitsPerSecond < c.warm.ReadUnitsPerSecond || asked.WriteUnitsPerSecond < c.warm.WriteUnitsPerSecond {
			return c, invalid("Decreasing WarmThroughput is not supported: it is %d reads and %d writes a second", c.warm.ReadUnitsPerSecond, c.warm.WriteUnitsPerSecond)
		}
		c.warm = *asked
	}
	least := warmThroughput{c.units.ReadCapacityUnits, c.units.WriteCapacityUnits}
	if c.billing == onDemand {
		least = warmThroughput{onDemandReadUnits, onDemandWriteUnits}
	}
	c.warm.ReadUnitsPerSecond = max(c.warm.ReadUnitsPerSecond, least.ReadUnitsPerSecond)
	c.warm.WriteUnitsPerSecond = max(c.warm.WriteUnitsPerSecond, least.WriteUnitsPerSecond)
	return c, nil
}

func (t *table) describe(now time.Time) description {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now)
	d := description{
		TableName: t.name, TableArn: arn(t.name), TableId: t.id, TableStatus: t.status,
		CreationDateTime: epochSeconds(t.created), ItemCount: len(t.items), TableSizeBytes: t.itemBytes,
		AttributeDefinitions: []attributeDefinition{{t.partition.name, t.partition.typ}},
		KeySchema:            []keySchemaElement{{t.partition.name, "HASH"}},
		ProvisionedThroughput: provisionedDescription{
			throughput: t.scale.units, NumberOfDecreasesToday: t.decreasesToday(now),
			LastIncreaseDateTime: epochSeconds(t.lastIncrease), LastDecreaseDateTime: epochSeconds(t.lastDecrease),
		},
		OnDemandThroughput: t.scale.onDemand,
		WarmThroughput:     warmDescription{t.scale.warm, t.status},
	}
	if t.sort != nil {
		d.AttributeDefinitions = append(d.AttributeDefinitions, attributeDefinition{t.sort.name, t.sort.typ})
		d.KeySchema = append(d.KeySchema, keySchemaElement{t.sort.name, "RANGE"})
	}
	if t.scale.billing == onDemand {
		d.BillingModeSummary = &billingSummary{onDemand}
	}
	return d
}

// burst is how long unused capacity is kept.
const burst = 300 * time.Second

// capacity is a token bucket of read or write units.
type capacity struct {
	mu        sync.Mutex
	perSecond float64 // 0 = no limit
	left      float64 // below zero when the last item cost more than was left
	at        time.Time
}

// set changes the rate. What was saved up stays, and a table that had no limit begins
// with the units of one second.
func (c *capacity) set(now time.Time, perSecond int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refill(now); c.perSecond == 0 {
		c.left = float64(perSecond)
	}
	c.perSecond = float64(perSecond)
}

// refill adds what came in since the last time; unused capacity is kept for the burst
// time. The caller holds c.mu.
func (c *capacity) refill(now time.Time) {
	if c.perSecond > 0 {
		c.left = min(c.left+c.perSecond*now.Sub(c.at).Seconds(), c.perSecond*burst.Seconds())
	}
	c.at = now
}

// available says whether anything is left.
func (c *capacity) available(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refill(now)
	return c.perSecond == 0 || c.left > 0
}

// spend takes units that were used.
func (c *capacity) spend(units float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perSecond > 0 {
		c.left -= units
	}
}
