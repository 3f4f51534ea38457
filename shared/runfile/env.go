package runfile

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME} by the environment's value and $$ by $; any other $ stands
// for itself. Without getenv ready is false for a text that holds ${NAME}.
func expand(s string, getenv func(string) (string, bool)) (expanded string, ready bool, err error) {
	if !strings.Contains(s, "$") {
		return s, true, nil
	}
	var b strings.Builder
	ready = true
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			b.WriteString(s)
			return b.String(), ready, nil
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		switch {
		case strings.HasPrefix(s, "$"):
			b.WriteByte('$')
			s = s[1:]
		case strings.HasPrefix(s, "{"):
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed || !isEnvName(name) {
				return "", false, fmt.Errorf("%q is no reference to the environment; write ${NAME}, or $$ for a $ that stands for itself", "$"+s)
			}
			s = rest
			if getenv == nil {
				ready = false
				continue
			}
			value, set := getenv(name)
			if !set {
				return "", false, fmt.Errorf("the environment variable %s is not set; set it, or write $$ for a $ that stands for itself", name)
			}
			b.WriteString(value)
		default:
			b.WriteByte('$')
		}
	}
}

func isEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
