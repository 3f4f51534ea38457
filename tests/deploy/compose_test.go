package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
)

// composeService is what the checks read of a service of the compose file.
type composeService struct {
	Command         []string           `yaml:"command"`
	Entrypoint      []string           `yaml:"entrypoint"`
	ContainerName   string             `yaml:"container_name"`
	Profiles        []string           `yaml:"profiles"`
	Restart         string             `yaml:"restart"`
	StopGracePeriod string             `yaml:"stop_grace_period"`
	MemLimit        string             `yaml:"mem_limit"`
	Environment     map[string]*string `yaml:"environment"`
	Ports           []string           `yaml:"ports"`
	Volumes         []string           `yaml:"volumes"`
}

// env gives the variables that have a value in the file.
func (c *composeService) env() map[string]string {
	all := map[string]string{}
	for name, value := range c.Environment {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

func (c *composeService) memory(t *testing.T) int64 {
	t.Helper()
	n, err := humanize.ParseBytes(strings.TrimSuffix(c.MemLimit, "b") + "ib")
	if err != nil {
		t.Fatalf("mem_limit %q: %v", c.MemLimit, err)
	}
	return int64(n)
}

func compose(t *testing.T) map[string]*composeService {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Services map[string]*composeService `yaml:"services"`
	}
	// To this reader a key that overrides one of a merged mapping is one given twice.
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	return f.Services
}

func TestComposeServices(t *testing.T) {
	all := compose(t)
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			c := all[s.name]
			if c == nil {
				t.Fatal("it is missing")
			}
			if !slices.Equal(c.Command, []string{"fff-" + s.name}) || c.Restart != "always" || len(c.Profiles) > 0 {
				t.Errorf("command %v, restart %q, profiles %v", c.Command, c.Restart, c.Profiles)
			}
			if c.ContainerName != "" || len(c.Ports) > 0 {
				t.Error("it cannot be scaled: its container has a name, or ports of the machine")
			}
			if s.dataset && !slices.Contains(c.Volumes, "dataset:/data") {
				t.Error("it does not have the dataset")
			}
			checkEnvironment(t, s, c.env())
			checkGrace(t, c.env()["FFF_SHUTDOWN_GRACE"], c.StopGracePeriod)
			checkMemory(t, s, c.memory(t), c.env()["GOMEMLIMIT"])
		})
	}
}

func TestComposeAroundTheServices(t *testing.T) {
	all := compose(t)
	for _, name := range []string{"nats", "sandbox", "fff"} {
		c := all[name]
		if c == nil {
			t.Fatalf("%s is missing", name)
		}
		checkEnvironment(t, service{name: name}, c.env())
		checkLimit(t, name, c.memory(t), c.env()["GOMEMLIMIT"])
	}
	if !slices.Equal(all["sandbox"].Profiles, []string{"sandbox"}) || !slices.Equal(all["fff"].Entrypoint, []string{"fff"}) {
		t.Errorf("sandbox %+v, fff %+v", all["sandbox"], all["fff"])
	}
}
