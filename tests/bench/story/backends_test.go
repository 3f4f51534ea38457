package main

import (
	"testing"
	"time"
)

func TestUtilisation(t *testing.T) {
	begin := time.Unix(100, 0)
	var seen []moment
	for i, busy := range []int64{0, 0, 2, 4, 4, 4, 0, 4, 0, 0} {
		seen = append(seen, moment{begin.Add(time.Duration(i) * time.Second), busy})
	}
	seen = between(seen, begin.Add(2*time.Second))
	if len(seen) != 6 {
		t.Fatalf("%d moments from the first request to the last answer, want 6", len(seen))
	}
	if got := utilisation(seen, 4, 0, 1); got != 0.75 {
		t.Errorf("utilisation %v, want 0.75", got)
	}
	if got := utilisation(seen, 4, 0, 0.5); got != 10./12 {
		t.Errorf("utilisation of the first half %v, want 10/12", got)
	}
	if got := utilisation(nil, 4, 0, 1); got != 0 {
		t.Errorf("utilisation of nothing %v", got)
	}
}

func TestRunFilesAreValid(t *testing.T) {
	for _, w := range ways {
		r := w.file
		r.url = "http://127.0.0.1:1/features"
		if _, err := r.parsed(); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}
