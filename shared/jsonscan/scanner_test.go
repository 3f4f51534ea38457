package jsonscan

import (
	"encoding/json"
	"testing"
)

// numberForm reports whether lit is a JSON number and nothing else.
func numberForm(lit string) (json.Number, bool) {
	if lit == "" || lit[0] != '-' && (lit[0] < '0' || lit[0] > '9') || lit[len(lit)-1] <= ' ' {
		return "", false
	}
	return json.Number(lit), json.Valid([]byte(lit))
}

var _ = testing.Short
