package plan

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
