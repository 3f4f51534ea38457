package dynamodb

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// SynthConfig says what a table makes up.
type SynthConfig struct {
	HitRatio          float64 // share of the cells that have an item, 0 to 1
	ExpiredRatio      float64 // share of the items that are past their time to live; needs dynamodb.ttl
	FeaturesPerFamily int
}

// Synth makes up the items of a table: it reads user, family and time out of a key by
// the run file's templates, and answers with the values of package values, or with
// nothing where [Synth.Hit] says so. It is safe for concurrent use.
type Synth struct {
	cfg      SynthConfig
	db       *runfile.DynamoDB
	families map[string]*values.Family
	sole     *values.Family // whose items the table holds where the key names no family
	matcher  matcher
	usesUser bool
}

// NewSynth prepares what a table answers for a run. The run file is expanded.
func NewSynth(f *runfile.File, tableName string, cfg SynthConfig) (*Synth, error) {
	if f.DynamoDB == nil {
		return nil, fmt.Errorf("run file %s has no dynamodb block", f.Run)
	}
	y := &Synth{cfg: cfg, db: f.DynamoDB, families: map[string]*values.Family{}}
	for _, family := range f.Families {
		if family.Cached && tableOf(f, &family) == nameOf(tableName) {
			y.families[family.ID] = values.NewFamily(family, cfg.FeaturesPerFamily)
		}
	}
	if len(y.families) == 0 {
		return nil, fmt.Errorf("run file %s has no cached family in table %q", f.Run, tableName)
	}
	if !y.uses(runfile.PlaceholderFamily) {
		y.sole = y.families[slices.Min(slices.Collect(maps.Keys(y.families)))]
	}
	y.usesUser = y.uses(runfile.PlaceholderUserID)
	y.matcher = newMatcher(f.DynamoDB, y.families)
	return y, nil
}

// tableOf gives the name of the table that holds a family.
func tableOf(f *runfile.File, family *runfile.Family) string {
	return nameOf(cmp.Or(family.Table, f.DynamoDB.Table))
}

// uses says whether a key template has a placeholder.
func (y *Synth) uses(placeholder string) bool { return uses(y.db, placeholder) }

func uses(db *runfile.DynamoDB, placeholder string) bool {
	return db.PartitionKey.Value.Uses(placeholder) || db.SortKey != nil && db.SortKey.Value.Uses(placeholder)
}

// KeyTime gives the point in time (epoch milliseconds) that a key carries: all of
// epochMS, its day, or 0 where the templates have no time. Items follow from it.
func KeyTime(db *runfile.DynamoDB, epochMS int64) int64 {
	switch {
	case uses(db, runfile.PlaceholderPITCTimestamp) || uses(db, runfile.PlaceholderPITCTimestampMS):
		return epochMS
	case uses(db, runfile.PlaceholderPITCDate):
		return time.UnixMilli(epochMS).UTC().Truncate(24 * time.Hour).UnixMilli()
	default:
		return 0
	}
}

// Hit says whether a user has an item for a family at the time that its key carries.
func Hit(ratio float64, userID, family string, keyTime int64) bool {
	return draw(saltHit, userID, family, keyTime) < ratio
}

// Salts keep the draws of one cell independent of each other and of its values.
const (
	saltHit     = 0x6869740000000001
	saltExpired = 0x6578700000000002
)

// draw gives a number in [0, 1) that follows from a cell.
func draw(salt uint64, userID, family string, keyTime int64) float64 {
	h := xxh3.HashStringSeed(family, salt^uint64(keyTime)*0x9e3779b97f4a7c15)
	return float64(xxh3.HashStringSeed(userID, h)>>11) / (1 << 53)
}

// Hit says whether a cell has an item that is not past its time to live.
func (y *Synth) Hit(userID, family string, epochMS int64) bool {
	c, ok := y.cell(userID, family, epochMS)
	return ok && y.has(c) && !y.expired(c)
}

// Row gives the family and the row that the item of a cell holds.
func (y *Synth) Row(userID, family string, epochMS int64) (*values.Family, values.Row, bool) {
	c, ok := y.cell(userID, family, epochMS)
	if !ok {
		return nil, 0, false
	}
	return c.family, c.family.Row([]byte(c.userID), c.time), true
}

// cell gives what a cell's key says of it.
func (y *Synth) cell(userID, family string, epochMS int64) (keyCell, bool) {
	c := keyCell{userID: userID, time: KeyTime(y.db, epochMS), family: y.families[family]}
	if c.family == nil {
		return c, false
	}
	if !y.usesUser {
		c.userID = ""
	}
	c.family = cmp.Or(y.sole, c.family)
	return c, true
}

func (y *Synth) has(c keyCell) bool { return Hit(y.cfg.HitRatio, c.userID, c.family.ID, c.time) }

func (y *Synth) expired(c keyCell) bool {
	return y.db.TTL != "" && draw(saltExpired, c.userID, c.family.ID, c.time) < y.cfg.ExpiredRatio
}

// Times to live of items that are past it and of all others, in epoch seconds.
const (
	longAgo   = `"1577836800"` // 2020
	farFuture = `"4102444800"` // 2100
)

// appendItem appends the JSON of the item under a key, and estimates its size from
// the bytes of names and values.
func (y *Synth) appendItem(dst []byte, partition, sort string) (out []byte, size int, ok bool) {
	c, ok := y.matcher.match(partition, sort)
	if !ok {
		return dst, 0, false
	}
	if c.family = cmp.Or(c.family, y.sole); c.family == nil || !y.has(c) {
		return dst, 0, false
	}
	start := len(dst)
	dst = appendKey(append(dst, '{'), y.db.PartitionKey, partition)
	if y.db.SortKey != nil {
		dst = appendKey(append(dst, ','), *y.db.SortKey, sort)
	}
	for _, name := range y.db.Exclude {
		dst = append(appendQuoted(append(dst, ','), name), `:{"S":"left out"}`...)
	}
	if y.db.TTL != "" {
		dst = append(appendQuoted(append(dst, ','), y.db.TTL), `:{"N":`...)
		if y.expired(c) {
			dst = append(dst, longAgo...)
		} else {
			dst = append(dst, farFuture...)
		}
		dst = append(dst, '}')
	}
	dst = y.appendFeatures(dst, c)
	dst = append(dst, '}')
	return dst, max(1, len(dst)-start-c.family.Len()*len(`"":{"N":""},`)), true
}

// appendFeatures appends a comma and the features in the run's layout.
func (y *Synth) appendFeatures(dst []byte, c keyCell) []byte {
	row := c.family.Row([]byte(c.userID), c.time)
	switch y.db.Layout {
	case runfile.LayoutMap:
		dst = append(appendQuoted(append(dst, ','), y.db.LayoutAttribute), `:{"M":{`...)
		return append(c.family.Append(dst, row, values.Attribute), `}}`...)
	case runfile.LayoutJSON:
		var stack [8 << 10]byte
		text := append(c.family.Append(append(stack[:0], '{'), row, values.PlainJSON), '}')
		dst = append(appendQuoted(append(dst, ','), y.db.LayoutAttribute), `:{"S":`...)
		return append(appendQuoted(dst, text), '}')
	default:
		if c.family.Len() == 0 {
			return dst
		}
		return c.family.Append(append(dst, ','), row, values.Attribute)
	}
}

func appendKey(dst []byte, k runfile.KeyAttribute, value string) []byte {
	dst = append(appendQuoted(dst, k.Name), `:{"`...)
	dst = append(append(dst, cmp.Or(k.Type, "S")...), `":`...)
	return append(appendQuoted(dst, value), '}')
}

// appendQuoted writes a JSON string.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	return values.AppendString(dst, s, false)
}

// SetSynth makes a table answer with made-up items; nil ends that.
func (s *Server) SetSynth(tableName string, y *Synth) error {
	t, err := s.table(tableName)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.synth = y
	return nil
}

// CreateTables makes the tables of a run file that are not there yet, ready at once and
// on demand unless readUnits is given, and has them all make up their items.
func (s *Server) CreateTables(f *runfile.File, readUnits int64, cfg SynthConfig) error {
	if f.DynamoDB == nil {
		return nil
	}
	if cfg.HitRatio < 0 || cfg.HitRatio > 1 || math.IsNaN(cfg.HitRatio) {
		return fmt.Errorf("hit ratio %v is not between 0 and 1", cfg.HitRatio)
	}
	names := map[string]bool{}
	for _, family := range f.Families {
		if family.Cached {
			names[tableOf(f, &family)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		y, err := NewSynth(f, name, cfg)
		if err != nil {
			return err
		}
		if err := s.ensureTable(name, f.DynamoDB, readUnits); err != nil {
			return fmt.Errorf("table %q: %w", name, err)
		}
		if err := s.SetSynth(name, y); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) ensureTable(name string, db *runfile.DynamoDB, readUnits int64) error {
	if _, err := s.table(name); err == nil {
		return nil
	}
	in := &createTableInput{TableName: name, BillingMode: onDemand}
	if readUnits > 0 {
		in.BillingMode, in.ProvisionedThroughput = provisioned, &throughput{readUnits, 1}
	}
	keys := []runfile.KeyAttribute{db.PartitionKey}
	if db.SortKey != nil {
		keys = append(keys, *db.SortKey)
	}
	for i, k := range keys {
		in.AttributeDefinitions = append(in.AttributeDefinitions, attributeDefinition{k.Name, cmp.Or(k.Type, "S")})
		in.KeySchema = append(in.KeySchema, keySchemaElement{k.Name, []string{"HASH", "RANGE"}[i]})
	}
	_, err := s.createTableIn(in, 0) // it was there before the run
	return err
}
