package backends_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
)

const base = `
run: demo
families: [{id: a}, {id: b, table: others}]
dynamodb: {table: features, partition_key: {name: u, value: "{user_id}"}}
feature_service: {url: "http://127.0.0.1:1/"}
`

func TestWishes(t *testing.T) {
	for _, tc := range []struct{ warmUp, want string }{
		{"", ""},
		{"warm_up: {}", ""},
		{"warm_up: {feature_service: {}}", ""}, // sample requests only
		{"warm_up: {target_duration: 10s, dynamodb: {expected_hit_ratio: 1, max_read_units: 7}}",
			"table features: read_units 5, table others: read_units 5"},
		{"warm_up: {target_duration: 1s, dynamodb: {expected_hit_ratio: 1, max_read_units: 7, write_units: 9}}",
			"table features: read_units 7, write_units 9, table others: read_units 7, write_units 9"},
		{"warm_up: {rds: [{instance: e, class: db.r6g.4xlarge}, {cluster: c, min_acu: 2.5}], feature_service: {hpa: {namespace: ml, name: fs, min_replicas: 36}}}",
			"db-instance e: class db.r6g.4xlarge, db-cluster c: min_acu 2.5, hpa ml/fs: min_replicas 36"},
	} {
		f, err := runfile.Parse("run.yaml", []byte(base+tc.warmUp))
		if err != nil {
			t.Fatal(err)
		}
		d := forecast.NewDemand(f)
		for i := range int64(100) {
			d.Add("u", i, nil)
		}
		var got []string
		for _, w := range backends.Wishes(f, forecast.Make(d, forecast.Assume(f))) {
			got = append(got, fmt.Sprintf("%s: %s", w.Resource, w.Want))
		}
		if all := strings.Join(got, ", "); all != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.warmUp, all, tc.want)
		}
	}
}
