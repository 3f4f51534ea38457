// Package packed holds the message that carries cells to the writer: family and
// feature names once, then typed columns with null bitmaps.
package packed

// Source says where a message's cells came from.
type Source uint8

// The sources.
const (
	DynamoDB       Source = 1
	FeatureService Source = 2
)

// Builder gathers cells into one message.
type Builder struct{}
