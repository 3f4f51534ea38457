package answer

// unprocessedKeys reads the keys that DynamoDB did not look up.
func (s *Scanner) unprocessedKeys() error {
	j := &s.json
	j.Object()
	for _, more := j.Next(); more; _, more = j.Next() {
		j.Object()
		for name, more := j.Next(); more; name, more = j.Next() {
			if string(name) != "Keys" {
				_, _ = j.Skip() // Err has it
				continue
			}
			j.Array()
			for j.Element() {
				if err := s.readKeys(*j); err != nil {
					return err
				}
				key, err := s.match()
				if err != nil {
					return err
				}
				s.slots[s.plan.Keys[key].Slot] = unprocessed
				s.result.Unprocessed = append(s.result.Unprocessed, key)
			}
		}
	}
	return j.Err()
}

// consumedCapacity adds up the units of the answer; the caller looks at the error.
func (s *Scanner) consumedCapacity() {
	j := &s.json
	j.Array()
	for j.Element() {
		j.Object()
		for name, more := j.Next(); more; name, more = j.Next() {
			if string(name) == "CapacityUnits" {
				n, _ := j.Number()
				s.result.Units += asDouble(n)
				continue
			}
			_, _ = j.Skip()
		}
	}
}
