package packed_test

import (
	"math"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

func TestAppendDouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {5, "5"}, {-0.1, "-0.1"}, {1.0 / 3, "0.3333333333333333"},
		{1e20, "100000000000000000000"}, {123456789012345680000, "123456789012345680000"},
		{1e21, "1e+21"}, {-1.5e300, "-1.5e+300"}, {1e-6, "0.000001"}, {1e-7, "1e-7"}, {1.25e-9, "1.25e-9"},
		{5e-324, "5e-324"}, {1e-10, "1e-10"}, {math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "NaN"}, {math.Inf(1), "Infinity"}, {math.Inf(-1), "-Infinity"},
	} {
		if got := string(packed.AppendDouble([]byte("x"), c.v)); got != "x"+c.want {
			t.Errorf("AppendDouble(%v) = %q, want %q", c.v, got[1:], c.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if got := packed.DynamoDB.String() + " " + packed.FeatureService.String() + " " + packed.Source(9).String(); got != "dynamodb feature_service source(9)" {
		t.Error(got)
	}
	got := ""
	for k := range packed.Kind(7) {
		got += k.String() + " "
	}
	if got != "null double int64 bool string json kind(6) " {
		t.Error(got)
	}
}
