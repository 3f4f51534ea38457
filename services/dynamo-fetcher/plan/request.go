package plan

import "github.com/fastfeaturefetch/fff/shared/work"

// AppendRequest appends the body of the BatchGetItem call for keys of a table.
func (p *Plan) AppendRequest(dst []byte, table int32, keys []int32) []byte {
	run := p.Run
	dst = append(dst, run.prefixes[table]...)
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		k := &p.Keys[key]
		dst = append(dst, '{')
		dst = appendAttribute(dst, run.Partition.Name, run.Partition.Type, k.Partition())
		if run.Sort != nil {
			dst = append(dst, ',')
			dst = appendAttribute(dst, run.Sort.Name, run.Sort.Type, k.Sort())
		}
		dst = append(dst, '}')
	}
	return append(dst, run.suffix...)
}

// RequestBytes tells about how long the body of the call for keys will be.
func (p *Plan) RequestBytes(keys []int32) int {
	n := 128
	for _, key := range keys {
		n += len(p.Keys[key].ID) + 64
	}
	return n
}

// Footprint estimates the bytes of memory that the plan of a block takes, with the
// goroutines of its calls.
func Footprint(run *Run, requests []work.Request) int64 {
	const perCell = 16 + 48 + 64 + 100 // cell, key, entry of its id, share of a goroutine
	var n int64
	var text []byte
	for i := range requests {
		r := &requests[i]
		if len(r.Families) == 0 || run.Partition.Value == nil {
			continue
		}
		text = run.Partition.Value.Append(text[:0], r.UserID, r.Families[0], r.EpochMS)
		if run.Sort != nil {
			text = run.Sort.Value.Append(text, r.UserID, r.Families[0], r.EpochMS)
		}
		id := min(len(text), MaxPartitionBytes+MaxSortBytes)
		for _, f := range r.Families {
			n += int64(perCell + 2*(id+len(f))) // ids lie in memory that doubles as it grows
		}
	}
	return n
}

func appendAttribute(dst []byte, name, kind, value string) []byte {
	dst = appendString(dst, name)
	dst = append(dst, `:{"`...)
	dst = append(dst, kind...)
	dst = append(dst, `":`...)
	dst = appendString(dst, value)
	return append(dst, '}')
}

// appendString appends a JSON string; s is UTF-8.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return append(dst, quote(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
