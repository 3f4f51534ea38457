package dynamodb

import (
	"encoding/json"
	"maps"
	"slices"
)

// batchGetInput is BatchGetItem's request. Projections are refused as unknown.
type batchGetInput struct {
	RequestItems           map[string]keysInput
	ReturnConsumedCapacity string
}

type keysInput struct {
	Keys           []attributes
	ConsistentRead bool
}

// decodeBatchGet reads a BatchGetItem.
func decodeBatchGet(body []byte) (*batchGet, error) {
	var in batchGetInput
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	g := &batchGet{}
	var err error
	if g.consumed, err = asked(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		items := in.RequestItems[name]
		t := tableGet{name: name, consistent: items.ConsistentRead, keys: make([]keyGet, len(items.Keys))}
		for i, a := range items.Keys {
			if err := t.keys[i].set(a); err != nil {
				return nil, err
			}
		}
		g.tables = append(g.tables, t)
	}
	return g, nil
}

func (k *keyGet) set(a attributes) error {
	if len(a) == 0 || len(a) > 2 {
		return invalid("The provided key element does not match the schema")
	}
	text, err := json.Marshal(a)
	if err != nil {
		return invalid("%v", err)
	}
	k.text = text
	for name, raw := range a {
		tag, value, err := tagged(raw)
		if err != nil {
			return err
		}
		one := attributeGet{name: name, typ: tag}
		if json.Unmarshal(value, &one.value) != nil {
			return invalid("key attribute %s: the value of %s is no string", name, tag)
		}
		k.attributes[k.count] = one
		k.count++
	}
	return nil
}
