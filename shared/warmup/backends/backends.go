// Package backends puts together what a run file's warm_up names: which kinds of backends
// there are, and what is wished of each resource.
package backends

import (
	"context"
	"strconv"

	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/autoscaler"
	"github.com/fastfeaturefetch/fff/shared/warmup/awsapi"
	"github.com/fastfeaturefetch/fff/shared/warmup/database"
	"github.com/fastfeaturefetch/fff/shared/warmup/table"
)

// Config says where the backends are.
type Config struct {
	Kubernetes autoscaler.Config
	AWS        awsapi.Endpoints
}

// New gives the backends of all kinds, which connect when they are used. w is nil where
// things are only brought down.
func New(ctx context.Context, w *runfile.WarmUp, cfg Config) ([]warmup.Backend, error) {
	clients, err := awsapi.New(ctx, cfg.AWS)
	if err != nil {
		return nil, err
	}
	tables := table.Config{API: clients.DynamoDB, AllowWarmThroughput: w != nil && w.DynamoDB != nil && w.DynamoDB.AllowWarmThroughput}
	if clients.AutoScaling != nil {
		tables.Scalers = clients.AutoScaling
	}
	return []warmup.Backend{table.New(tables), database.NewInstances(clients.RDS), database.NewClusters(clients.RDS), autoscaler.New(cfg.Kubernetes)}, nil
}

// Wishes gives what a run wants of its backends, in the order in which they are raised:
// databases first, which take longest. A part of warm_up that is absent wishes nothing.
func Wishes(file *runfile.File, f *forecast.Forecast) []warmup.Wish {
	w := file.WarmUp
	if w == nil {
		return nil
	}
	var wishes []warmup.Wish
	for _, db := range w.RDS {
		wish := warmup.Wish{Resource: warmup.Resource{Kind: database.KindInstance, Name: db.Instance}, Want: warmup.Values{database.Class: db.Class}}
		if db.Cluster != "" {
			wish = warmup.Wish{Resource: warmup.Resource{Kind: database.KindCluster, Name: db.Cluster}, Want: warmup.Values{database.MinACU: database.FormatACU(db.MinACU)}}
		}
		wishes = append(wishes, wish)
	}
	if fs := w.FeatureService; fs != nil && fs.HPA != nil {
		wishes = append(wishes, warmup.Wish{
			Resource: warmup.Resource{Kind: autoscaler.Kind, Name: fs.HPA.Namespace + "/" + fs.HPA.Name},
			Want:     warmup.Values{autoscaler.MinReplicas: strconv.Itoa(int(fs.HPA.MinReplicas))},
		})
	}
	if w.DynamoDB == nil {
		return wishes
	}
	for _, t := range f.Tables {
		want := warmup.Values{table.ReadUnits: strconv.FormatInt(t.Wanted, 10)}
		if w.DynamoDB.WriteUnits > 0 {
			want[table.WriteUnits] = strconv.FormatInt(w.DynamoDB.WriteUnits, 10)
		}
		wishes = append(wishes, warmup.Wish{Resource: warmup.Resource{Kind: table.Kind, Name: t.Table}, Want: want})
	}
	return wishes
}
