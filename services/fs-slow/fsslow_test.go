package fsslow_test

import (
	"testing"

	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Each family goes into a request of its own, whatever the run file says.
func TestUnits(t *testing.T) {
	run := &stage.Run{ID: "demo", File: &runfile.File{FeatureService: &runfile.FeatureService{
		URL:  "http://features.test",
		Slow: runfile.LaneLimits{MaxFamilies: 20},
	}}}
	block := work.Block{Requests: []work.Request{
		{UserID: "u1", Families: []string{"a", "b"}},
		{UserID: "u2", Families: []string{"c"}},
	}}
	units, err := fsslow.NewStage(featureservice.NewClient(), nil, nil).
		Units(&stage.Message{Run: run, Data: block.Encode()})
	if err != nil || len(units) != 3 {
		t.Fatalf("units %+v, error %v", units, err)
	}
	for i, want := range []string{"u1 a", "u1 b", "u2 c"} {
		if got := units[i].UserID + " " + units[i].Families[0]; got != want || len(units[i].Families) != 1 {
			t.Errorf("unit %d is %+v, want %s", i, units[i], want)
		}
	}
}
