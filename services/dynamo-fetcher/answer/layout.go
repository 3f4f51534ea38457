package answer

import (
	"slices"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Layout says which attributes of an item are keys, which are features, and when an
// item has expired. It is safe for concurrent use.
type Layout struct {
	kind      runfile.Layout
	attribute string // that holds the features, unless every attribute is one
	partition string
	sort      string // "" = none
	numbers   [2]bool
	ttl       string // "" = none
	exclude   []string
}

// The places of Layout.numbers: which key attributes have type N.
const (
	partitionIsNumber = 0
	sortIsNumber      = 1
)

// NewLayout reads what is needed of a run file.
func NewLayout(d *runfile.DynamoDB) *Layout {
	l := &Layout{
		kind:      d.Layout,
		attribute: d.LayoutAttribute,
		partition: d.PartitionKey.Name,
		ttl:       d.TTL,
		exclude:   slices.Clone(d.Exclude),
	}
	l.numbers[partitionIsNumber] = d.PartitionKey.Type == "N"
	if d.SortKey != nil {
		l.sort = d.SortKey.Name
		l.numbers[sortIsNumber] = d.SortKey.Type == "N"
	}
	return l
}

// role is what an attribute is to an item.
type role uint8

const (
	feature role = iota
	container
	partitionKey
	sortKey
	expiry
	excluded
	other // an attribute beside the one that holds the features
)

func (l *Layout) roleOf(name []byte) role {
	switch {
	case string(name) == l.partition:
		return partitionKey
	case string(name) == l.sort:
		return sortKey
	case l.ttl != "" && string(name) == l.ttl:
		return expiry
	case l.isExcluded(name):
		return excluded
	case l.kind == runfile.LayoutMap || l.kind == runfile.LayoutJSON:
		if string(name) == l.attribute {
			return container
		}
		return other
	}
	return feature
}

func (l *Layout) isExcluded(name []byte) bool {
	for _, e := range l.exclude {
		if e == string(name) {
			return true
		}
	}
	return false
}
