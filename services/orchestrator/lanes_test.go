package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestFastFamilies(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		families string // id:lane
		took     map[string]time.Duration
		before   []string
		want     []string
	}{
		"two groups":                     {"a:auto b:auto c:auto d:auto", map[string]time.Duration{"a": 10 * ms, "b": 200 * ms, "c": 14 * ms, "d": 150 * ms}, nil, []string{"a", "c"}},
		"no gap":                         {"a:auto b:auto c:auto", map[string]time.Duration{"a": 10 * ms, "b": 25 * ms, "c": 60 * ms}, nil, []string{"a", "b", "c"}},
		"a gap just large enough":        {"a:auto b:auto", map[string]time.Duration{"a": 10 * ms, "b": 30 * ms}, nil, []string{"a"}},
		"a gap just too small":           {"a:auto b:auto", map[string]time.Duration{"a": 10 * ms, "b": 29 * ms}, nil, []string{"a", "b"}},
		"the largest gap":                {"a:auto b:auto c:auto", map[string]time.Duration{"a": 10 * ms, "b": 35 * ms, "c": 700 * ms}, nil, []string{"a", "b"}},
		"the way there takes longest":    {"a:auto b:auto", map[string]time.Duration{"a": ms / 10, "b": 4 * ms}, nil, []string{"a", "b"}},
		"all slow beside a fast one":     {"a:fast b:auto c:auto", map[string]time.Duration{"a": 6 * ms, "b": 100 * ms, "c": 120 * ms}, nil, nil},
		"slow ones are no measure":       {"a:slow b:auto c:auto", map[string]time.Duration{"a": 900 * ms, "b": 100 * ms, "c": 120 * ms}, nil, []string{"b", "c"}},
		"nothing known":                  {"a:auto b:auto", nil, nil, nil},
		"nothing new known":              {"a:auto b:auto", nil, []string{"b"}, []string{"b"}},
		"known again, and as it was":     {"a:auto b:auto", map[string]time.Duration{"a": 10 * ms}, []string{"b"}, []string{"a", "b"}},
		"known again, and not as it was": {"a:auto b:auto", map[string]time.Duration{"a": 10 * ms, "b": 40 * ms}, []string{"b"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var list strings.Builder
			for family := range strings.FieldsSeq(tc.families) {
				id, lane, _ := strings.Cut(family, ":")
				fmt.Fprintf(&list, "  - {id: %s, lane: %s, cached: false}\n", id, lane)
			}
			file, err := runfile.Parse("run.yaml", []byte("run: demo\nfamilies:\n"+list.String()+"feature_service: {url: \"http://127.0.0.1:1/\"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := fastFamilies(file, tc.took, tc.before); !slices.Equal(got, tc.want) {
				t.Errorf("fast are %q, want %q", got, tc.want)
			}
		})
	}
}
