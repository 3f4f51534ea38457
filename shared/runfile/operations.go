package runfile

import (
	"math"
	"time"
)

func (d *decoder) warmUp(n *node, path string) *WarmUp {
	w := &WarmUp{TargetDuration: DefaultTargetDuration, MaxHold: DefaultMaxHold}
	d.object(n, path, nil, map[string]field{
		"target_duration": duration(d, &w.TargetDuration),
		"max_hold":        duration(d, &w.MaxHold),
		"dynamodb": func(n *node, path string) {
			w.DynamoDB = &WarmUpDynamoDB{
				ExpectedHitRatio: DefaultHitRatio, ItemBytes: DefaultItemBytes, MaxReadUnits: DefaultMaxReadUnits,
			}
			d.object(n, path, nil, map[string]field{
				"expected_hit_ratio":    float(d, &w.DynamoDB.ExpectedHitRatio, 0, 1),
				"item_bytes":            integer(d, &w.DynamoDB.ItemBytes, 1, maxItemBytes),
				"max_read_units":        integer(d, &w.DynamoDB.MaxReadUnits, 1, maxUnits),
				"write_units":           integer(d, &w.DynamoDB.WriteUnits, 0, maxUnits),
				"allow_warm_throughput": boolean(d, &w.DynamoDB.AllowWarmThroughput),
			})
		},
		"feature_service": func(n *node, path string) { w.FeatureService = d.warmUpFeatureService(n, path) },
		"rds":             d.listOf(func(n *node, path string) { w.RDS = append(w.RDS, d.warmUpRDS(n, path)) }),
	})
	return w
}

func (d *decoder) warmUpFeatureService(n *node, path string) *WarmUpFeatureService {
	w := &WarmUpFeatureService{RequestsPerSecond: DefaultWarmUpRequests, MaxDuration: DefaultWarmUpDuration}
	d.object(n, path, nil, map[string]field{
		"requests_per_second": float(d, &w.RequestsPerSecond, 0.01, maxInFlight),
		"max_duration":        duration(d, &w.MaxDuration),
		"hpa": func(n *node, path string) {
			w.HPA = &HPA{}
			d.object(n, path, []string{"namespace", "name", "min_replicas"}, map[string]field{
				"namespace":    text(d, &w.HPA.Namespace, notEmpty),
				"name":         text(d, &w.HPA.Name, notEmpty),
				"min_replicas": integer(d, &w.HPA.MinReplicas, 1, 10_000),
			})
		},
	})
	return w
}

// Bounds of Aurora Serverless v2, which counts in halves.
const (
	minACU = 0.5
	maxACU = 256
)

func (d *decoder) warmUpRDS(n *node, path string) WarmUpRDS {
	var w WarmUpRDS
	d.object(n, path, nil, map[string]field{
		"instance": text(d, &w.Instance, notEmpty),
		"class":    text(d, &w.Class, rdsClass),
		"cluster":  text(d, &w.Cluster, notEmpty),
		"min_acu":  float(d, &w.MinACU, minACU, maxACU),
	})
	if d.err != nil {
		return w
	}
	has := func(key string) bool { return d.places[join(path, key)] != nil }
	instance := has("instance") && has("class") && !has("cluster") && !has("min_acu")
	cluster := has("cluster") && has("min_acu") && !has("instance") && !has("class")
	if !instance && !cluster {
		d.fail(n, path, "a database is either instance with class, or cluster with min_acu; write one of the two, whole")
	}
	if w.MinACU*2 != math.Trunc(w.MinACU*2) {
		d.failAt(join(path, "min_acu"), "%v is no multiple of 0.5; Aurora counts in halves", w.MinACU)
	}
	return w
}

func rdsClass(s string) string {
	if len(s) < 4 || s[:3] != "db." {
		return "is no instance class; write one like db.r6g.4xlarge"
	}
	return ""
}

func (d *decoder) failurePolicy(n *node, path string, p *FailurePolicy) {
	d.object(n, path, nil, map[string]field{
		"window":          duration(d, &p.Window),
		"stall":           d.after(&p.StallAfter, &p.StallDo),
		"silent_instance": d.after(&p.SilentAfter, &p.SilentDo),
		"failed_ratio":    d.threshold(&p.FailedRatio, 1),
		"repeated_errors": d.threshold(&p.RepeatedErrors, maxUnits),
		"data": func(n *node, path string) {
			d.object(n, path, nil, map[string]field{
				"null_ratio":      d.threshold(&p.NullRatio, 1),
				"not_finite":      d.threshold(&p.NotFinite, 1),
				"constant":        d.do(&p.Constant),
				"missing_feature": d.do(&p.MissingFeature),
				"new_feature":     d.do(&p.NewFeature),
				"type_drift":      d.do(&p.TypeDrift),
			})
		},
	})
}

func (d *decoder) do(dst *Do) field { return choice(d, dst, "reaction", Ignore, Warn, Stop) }

func (d *decoder) after(after *time.Duration, do *Do) field {
	return func(n *node, path string) {
		d.object(n, path, nil, map[string]field{"after": duration(d, after), "do": d.do(do)})
	}
}

func (d *decoder) threshold(dst *Threshold, most float64) field {
	return func(n *node, path string) {
		d.object(n, path, nil, map[string]field{"over": float(d, &dst.Over, 0, most), "do": d.do(&dst.Do)})
	}
}
