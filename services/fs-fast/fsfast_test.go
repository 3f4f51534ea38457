package fsfast_test

import (
	"testing"

	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// All families of a sample go into one request, up to fast.max_families.
func TestUnits(t *testing.T) {
	run := &stage.Run{ID: "demo", File: &runfile.File{FeatureService: &runfile.FeatureService{
		URL:  "http://features.test",
		Fast: runfile.LaneLimits{MaxFamilies: 3},
		Slow: runfile.LaneLimits{MaxFamilies: 1},
	}}}
	block := work.Block{Requests: []work.Request{
		{UserID: "u1", Families: []string{"a", "b", "c"}},
		{UserID: "u2", Families: []string{"a", "b", "c", "d"}},
	}}
	units, err := fsfast.NewStage(featureservice.NewClient(), nil, nil).
		Units(&stage.Message{Run: run, Data: block.Encode()})
	if err != nil || len(units) != 3 || len(units[0].Families) != 3 ||
		len(units[1].Families) != 2 || len(units[2].Families) != 2 {
		t.Errorf("units %+v, error %v", units, err)
	}
}
