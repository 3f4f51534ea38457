package dataset

import (
	"encoding/json"
	"fmt"
	"time"
)

// Owner is the content of _owner: the system that works on the dataset.
type Owner struct {
	Broker string    `json:"broker"` // identity of the broker
	Epoch  uint64    `json:"epoch"`
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Store  string    `json:"store"` // directory of an embedded broker's store, "" otherwise
	Beat   time.Time `json:"beat"`  // when the owner last said that it lives
}

// EncodeOwner gives the content of _owner.
func EncodeOwner(o *Owner) ([]byte, error) {
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", OwnerName, err)
	}
	return append(data, '\n'), nil
}

// DecodeOwner reads _owner.
func DecodeOwner(data []byte) (*Owner, error) {
	var o Owner
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", OwnerName, err)
	}
	if o.Broker == "" {
		return nil, fmt.Errorf("%s: no broker named", OwnerName)
	}
	return &o, nil
}
