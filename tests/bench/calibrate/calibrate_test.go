package calibrate_test

import (
	"math"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
)

func TestFactor(t *testing.T) {
	reference := make(calibrate.Figures, len(calibrate.References))
	for i, r := range calibrate.References {
		reference[i] = r.On
	}
	if f := reference.Factor(); f != 1 {
		t.Errorf("the reference machine has a factor of %v", f)
	}
	slower := calibrate.Mean(reference, reference)
	for i := range slower {
		slower[i] *= 2
	}
	slower[len(slower)-1] = 1e9 // nobody has measured it on the reference machine
	if f := slower.Factor(); math.Abs(f-2) > 1e-9 {
		t.Errorf("a machine that takes twice as long has a factor of %v", f)
	}
	slower[1] *= 2
	if f := slower.Factor(); math.Abs(f-2) > 1e-9 {
		t.Errorf("a machine that takes two and four times as long has a factor of %v", f)
	}
	if f := (calibrate.Figures{}).Factor(); f != 1 {
		t.Errorf("without measurements the factor is %v", f)
	}
}

func TestMeasure(t *testing.T) {
	f, err := calibrate.Measure()
	if err != nil || len(f) != len(calibrate.References) {
		t.Fatalf("measured %v: %v", f, err)
	}
	for i, v := range f {
		if v <= 0 {
			t.Errorf("%s takes %v", calibrate.References[i].Name, v)
		}
	}
	t.Log(f)
}
