package record

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// compactAttributes copies attributes without white space, or says what is wrong with
// them. text is valid JSON.
func compactAttributes(text []byte) (compact []byte, wrong string) {
	s := jsonscan.New(text)
	if s.Kind() != jsonscan.KindObject {
		return nil, fmt.Sprintf("it is %s; give an object, or leave it out", s.Kind())
	}
	if key := duplicateKey(&s); key != nil {
		return nil, fmt.Sprintf("the key %q is given twice; leave one out", clip(key))
	}
	compact = jsonscan.AppendCompact(make([]byte, 0, len(text)), text)
	if len(compact) > work.MaxAttributesBytes {
		return nil, fmt.Sprintf("it has %d bytes; the most is %d", len(compact), work.MaxAttributesBytes)
	}
	return compact, ""
}

// fewKeys is up to where comparing keys with each other beats a set.
const fewKeys = 16

// duplicateKey reads a value and gives a key that one of its objects has twice.
func duplicateKey(s *jsonscan.Scanner) []byte {
	var found []byte
	switch s.Kind() {
	case jsonscan.KindObject:
		var few [fewKeys][]byte
		var many map[string]struct{}
		n := 0
		s.Object()
		for key, more := s.Next(); more; key, more = s.Next() {
			again := false
			if n < fewKeys {
				for _, k := range few[:n] {
					again = again || bytes.Equal(k, key)
				}
				few[n] = key
			} else {
				if many == nil {
					many = make(map[string]struct{}, 2*fewKeys)
					for _, k := range few {
						many[string(k)] = struct{}{}
					}
				}
				_, again = many[string(key)]
				many[string(key)] = struct{}{}
			}
			n++
			if again && found == nil {
				found = key
			}
			if inner := duplicateKey(s); inner != nil && found == nil {
				found = inner
			}
		}
	case jsonscan.KindArray:
		s.Array()
		for s.Element() {
			if inner := duplicateKey(s); inner != nil && found == nil {
				found = inner
			}
		}
	default:
		_, _ = s.Skip() // the scanner keeps the error
	}
	return found
}

// AttributesHash is the same for attributes that mean the same: white space, the
// order of keys and the way strings are escaped do not matter. It is 0 for none.
func AttributesHash(attributes []byte) uint64 {
	if len(attributes) == 0 {
		return 0
	}
	s := jsonscan.New(attributes)
	return max(hashValue(&s), 1)
}

// SameAttributes says whether two records' attributes mean the same, as far as 64
// bits tell.
func SameAttributes(a, b []byte) bool { return AttributesHash(a) == AttributesHash(b) }

// hashValue hashes one value; the kind is the seed.
func hashValue(s *jsonscan.Scanner) uint64 {
	kind := s.Kind()
	seed := uint64(kind)
	switch kind {
	case jsonscan.KindObject:
		var sum uint64 // members in any order
		s.Object()
		for key, more := s.Next(); more; key, more = s.Next() {
			sum += mix(xxh3.HashSeed(key, seed), hashValue(s))
		}
		return mix(seed, sum)
	case jsonscan.KindArray:
		h := seed
		s.Array()
		for s.Element() {
			h = mix(h, hashValue(s))
		}
		return mix(seed, h)
	case jsonscan.KindString:
		text, _ := s.String(nil)
		return xxh3.HashSeed(text, seed)
	default:
		raw, _ := s.Skip()
		return xxh3.HashSeed(raw, seed)
	}
}

func mix(a, b uint64) uint64 {
	var pair [16]byte
	binary.LittleEndian.PutUint64(pair[:8], a)
	binary.LittleEndian.PutUint64(pair[8:], b)
	return xxh3.Hash(pair[:])
}
