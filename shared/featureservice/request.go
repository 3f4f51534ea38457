package featureservice

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// maxReasonBytes bounds a reason that quotes others.
const maxReasonBytes = 500

// appendRequest appends a request as the contract has it.
func appendRequest(dst []byte, r *work.Request) []byte {
	dst = appendString(append(dst, `{"user_id":`...), r.UserID)
	dst = sample.AppendTime(append(dst, `,"pitc_timestamp":"`...), r.EpochMS)
	dst = append(dst, `","feature_families":[`...)
	for i, family := range r.Families {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, family)
	}
	dst = append(dst, ']')
	if len(r.Attributes) > 0 {
		dst = append(append(dst, `,"attributes":`...), r.Attributes...)
	}
	return append(dst, '}')
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s) // of a string it cannot fail
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// clean makes text of others fit to be stored and shown: valid UTF-8 on one line without
// control characters, and at most limit bytes.
func clean(text string, limit int) string {
	if len(text) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	return text
}
