package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// What a Nomad job file of ours may hold. Whatever else is in one, a slip of the pen
// included, does not decode.
type (
	nomadFile struct {
		Job nomadJob `hcl:"job,block"`
	}
	nomadJob struct {
		Name        string       `hcl:"name,label"`
		Type        string       `hcl:"type"`
		Datacenters []string     `hcl:"datacenters"`
		Update      *nomadUpdate `hcl:"update,block"`
		Group       nomadGroup   `hcl:"group,block"`
	}
	nomadUpdate struct {
		MaxParallel      int    `hcl:"max_parallel"`
		HealthCheck      string `hcl:"health_check"`
		MinHealthyTime   string `hcl:"min_healthy_time"`
		HealthyDeadline  string `hcl:"healthy_deadline"`
		ProgressDeadline string `hcl:"progress_deadline"`
		AutoRevert       bool   `hcl:"auto_revert"`
	}
	nomadGroup struct {
		Name    string         `hcl:"name,label"`
		Count   int            `hcl:"count"`
		Restart *nomadRestart  `hcl:"restart,block"`
		Scaling *nomadScaling  `hcl:"scaling,block"`
		Volumes []nomadVolume  `hcl:"volume,block"`
		Network nomadNetwork   `hcl:"network,block"`
		Service nomadDiscovery `hcl:"service,block"`
		Task    nomadTask      `hcl:"task,block"`
	}
	nomadRestart struct {
		Attempts int    `hcl:"attempts"`
		Interval string `hcl:"interval"`
		Delay    string `hcl:"delay"`
		Mode     string `hcl:"mode"`
	}
	nomadScaling struct {
		Enabled bool         `hcl:"enabled"`
		Min     int          `hcl:"min"`
		Max     int          `hcl:"max"`
		Policy  *nomadPolicy `hcl:"policy,block"`
	}
	nomadPolicy struct {
		Cooldown string `hcl:"cooldown"`
		Interval string `hcl:"evaluation_interval"`
		Check    struct {
			Name     string `hcl:"name,label"`
			Source   string `hcl:"source"`
			Query    string `hcl:"query"`
			Strategy struct {
				Name   string `hcl:"name,label"`
				Target int    `hcl:"target"`
			} `hcl:"strategy,block"`
		} `hcl:"check,block"`
	}
	nomadVolume struct {
		Name   string `hcl:"name,label"`
		Type   string `hcl:"type"`
		Source string `hcl:"source"`
	}
	nomadNetwork struct {
		Ports []struct {
			Name   string `hcl:"name,label"`
			Static int    `hcl:"static,optional"`
		} `hcl:"port,block"`
	}
	nomadDiscovery struct {
		Name     string   `hcl:"name"`
		Provider string   `hcl:"provider"`
		Port     string   `hcl:"port"`
		Tags     []string `hcl:"tags,optional"`
		Check    struct {
			Type     string `hcl:"type"`
			Path     string `hcl:"path,optional"`
			Interval string `hcl:"interval"`
			Timeout  string `hcl:"timeout"`
		} `hcl:"check,block"`
	}
	nomadTask struct {
		Name   string `hcl:"name,label"`
		Driver string `hcl:"driver"`
		Config struct {
			Image   string   `hcl:"image"`
			Command string   `hcl:"command,optional"`
			Args    []string `hcl:"args,optional"`
			Ports   []string `hcl:"ports"`
		} `hcl:"config,block"`
		KillTimeout string `hcl:"kill_timeout"`
		Mounts      []struct {
			Volume      string `hcl:"volume"`
			Destination string `hcl:"destination"`
		} `hcl:"volume_mount,block"`
		Templates []struct {
			Destination string `hcl:"destination"`
			Data        string `hcl:"data"`
		} `hcl:"template,block"`
		Env struct {
			Variables map[string]string `hcl:",remain"`
		} `hcl:"env,block"`
		Resources struct {
			CPU    int `hcl:"cpu"`
			Memory int `hcl:"memory"` // MiB
		} `hcl:"resources,block"`
	}
)

// nomad reads a job file with HashiCorp's parser, as `nomad job run` does: with the defaults
// of its variables, and the given values in their place.
func nomad(t *testing.T, name string, values map[string]cty.Value) nomadJob {
	t.Helper()
	file, diags := hclparse.NewParser().ParseHCLFile(filepath.Join(root(t), "deploy", "nomad", name+".nomad.hcl"))
	must(t, diags)
	var variables struct {
		All []struct {
			Name        string         `hcl:"name,label"`
			Type        hcl.Expression `hcl:"type"`
			Description string         `hcl:"description"`
			Default     *hcl.Attribute `hcl:"default"`
		} `hcl:"variable,block"`
		Rest hcl.Body `hcl:",remain"`
	}
	must(t, gohcl.DecodeBody(file.Body, nil, &variables))
	vars := map[string]cty.Value{}
	for _, v := range variables.All {
		if value, given := values[v.Name]; given {
			vars[v.Name] = value
			continue
		}
		if v.Default == nil {
			t.Errorf("%s: variable %s has no default, and the test gives no value", name, v.Name)
			continue
		}
		value, diags := v.Default.Expr.Value(nil)
		must(t, diags)
		vars[v.Name] = value
	}
	ctx := &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"var":             cty.ObjectVal(vars),
			"NOMAD_PORT_http": cty.StringVal("23456"), // which Nomad puts in when the task starts
		},
		Functions: map[string]function.Function{"floor": stdlib.FloorFunc, "file": readFile(t)},
	}
	var f nomadFile
	must(t, gohcl.DecodeBody(dynblock.Expand(variables.Rest, ctx), ctx, &f))
	return f.Job
}

// readFile is Nomad's function file, for paths from the root of the repository.
func readFile(t *testing.T) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			data, err := os.ReadFile(filepath.Join(root(t), args[0].AsString()))
			return cty.StringVal(string(data)), err
		},
	})
}

func must(t *testing.T, diags hcl.Diagnostics) {
	t.Helper()
	if diags.HasErrors() {
		t.Fatal(diags)
	}
}

var brokerURL = map[string]cty.Value{"nats_url": cty.StringVal("nats://10.0.0.1:4222")}

func TestNomadJobsOfTheServices(t *testing.T) {
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			job := nomad(t, s.name, brokerURL)
			task, group := job.Group.Task, job.Group
			if job.Name != "fff-"+s.name || task.Config.Command != job.Name || group.Service.Name != job.Name {
				t.Errorf("job %s, service %s, command %s", job.Name, group.Service.Name, task.Config.Command)
			}
			if job.Type != "service" || job.Update == nil || job.Update.HealthCheck != "checks" || group.Restart == nil || group.Scaling == nil {
				t.Error("it has no rolling update, restart policy or bounds of scaling")
			}
			if c := group.Service.Check; c.Type != "http" || c.Path != "/readyz" || group.Service.Port != "http" {
				t.Errorf("it is checked with %+v", c)
			}
			checkEnvironment(t, s, task.Env.Variables)
			checkGrace(t, task.Env.Variables["FFF_SHUTDOWN_GRACE"], task.KillTimeout)
			checkMemory(t, s, int64(task.Resources.Memory)<<20, task.Env.Variables["GOMEMLIMIT"])
			if dataset := len(group.Volumes) == 1 && len(task.Mounts) == 1 && task.Mounts[0].Destination == "/data"; dataset != s.dataset {
				t.Errorf("it has the dataset: %v, want %v", dataset, s.dataset)
			}
		})
	}
}

func TestNomadJobsWithoutTheDatasetsVolume(t *testing.T) {
	for _, name := range []string{"orchestrator", "writer"} {
		job := nomad(t, name, map[string]cty.Value{"nats_url": brokerURL["nats_url"], "dataset_volume": cty.StringVal("")})
		if len(job.Group.Volumes) != 0 || len(job.Group.Task.Mounts) != 0 {
			t.Errorf("%s wants a volume, though everything goes to S3", name)
		}
	}
}

func TestNomadJobsAroundTheServices(t *testing.T) {
	box := nomad(t, "sandbox", nil)
	checkEnvironment(t, service{name: "sandbox"}, box.Group.Task.Env.Variables)
	if text := box.Group.Task.Templates[0].Data; !strings.Contains(text, "run: demo") {
		t.Errorf("the sandbox answers for %q", text)
	}
	server := nomad(t, "nats", nil)
	if _, err := time.ParseDuration(server.Group.Task.KillTimeout); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	for _, f := range server.Group.Task.Templates {
		write(t, filepath.Join(dir, filepath.Base(f.Destination)), f.Data)
	}
	if o := natsOptions(t, filepath.Join(dir, filepath.Base(server.Group.Task.Config.Args[1]))); !o.SyncAlways {
		t.Error("what the job gives the server is not its configuration")
	}
}

// TestNomadHasAJobForEveryService finds files that no test looks at.
func TestNomadHasAJobForEveryService(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "deploy", "nomad", "*.nomad.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"nats": true, "sandbox": true}
	for _, s := range services {
		known[s.name] = true
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".nomad.hcl"); !known[name] {
			t.Errorf("%s is looked at by no test", f)
		}
	}
	if len(files) != len(known) {
		t.Errorf("%d job files, want %d", len(files), len(known))
	}
}
