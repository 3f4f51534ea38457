package allinone_test

import (
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
)

func TestAJobWithoutFaultsIsExact(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	r.submit(usual())
	st := r.ends(control.Completed)
	r.isExact()
	if st.Round != 0 || st.Committed != cellsOfJob || st.Failed != 0 {
		t.Errorf("status %+v", st)
	}
	if asked, misses := s.Sandbox().FeatureService.Stats().Families, st.BySource["feature_service"]; asked != misses {
		t.Errorf("the feature service was asked for %d families, %d were not cached", asked, misses)
	}
}
