package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

// registered gives the names of all metrics that a service has.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	registry := telemetry.NewRegistry()
	m := runner.NewMetrics(registry)
	m.Messages.WithLabelValues("stage", "outcome") // a vector without children is not shown
	m.Retries.WithLabelValues("stage", "code")
	m.Failures.WithLabelValues("stage", "code")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"up": true} // Prometheus's own
	for _, f := range families {
		names[f.GetName()] = true
	}
	// Of prometheus-nats-exporter.
	names["jetstream_stream_total_messages"], names["jetstream_consumer_num_pending"] = true, true
	return names
}

var (
	// metric finds the names of metrics in an expression: what is followed by a selector, a
	// range or the end of an argument.
	metric = regexp.MustCompile(`\(([a-z_]+)[{\[)]|^([a-z_]+)\{`)
	// grouping is a list of labels, which looks the same.
	grouping = regexp.MustCompile(`\bby \([a-z_, ]+\)`)
)

func metricsOf(expr string) []string {
	var names []string
	for _, found := range metric.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
		names = append(names, found[1]+found[2])
	}
	return names
}

func TestDashboardShowsMetricsThatThereAre(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", "grafana", "fff.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	known, shown := registered(t), map[string]bool{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			names := metricsOf(target.Expr)
			if len(names) == 0 {
				t.Errorf("%s: no metric is found in %s", p.Title, target.Expr)
			}
			for _, n := range names {
				shown[n] = true
				if !known[n] {
					t.Errorf("%s: there is no metric %s", p.Title, n)
				}
			}
		}
	}
	for n := range known {
		if strings.HasPrefix(n, "fff_") && !shown[n] {
			t.Errorf("no panel shows %s", n)
		}
	}
}

func TestScalingLooksAtMetricsThatThereAre(t *testing.T) {
	known := registered(t)
	for _, s := range services {
		policy := nomad(t, s.name, brokerURL).Group.Scaling.Policy
		if policy == nil {
			continue
		}
		for _, n := range metricsOf(policy.Check.Query) {
			if !known[n] {
				t.Errorf("%s is scaled by %s, which there is not", s.name, n)
			}
		}
	}
}

func TestPrometheusScrapesEveryService(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", "prometheus", "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Scrape []struct {
			Job string `yaml:"job_name"`
			DNS []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Scrape) == 0 || len(f.Scrape[0].DNS) == 0 {
		t.Fatal("it scrapes nothing")
	}
	for _, s := range services {
		if !slices.Contains(f.Scrape[0].DNS[0].Names, s.name) {
			t.Errorf("%s is not scraped", s.name)
		}
	}
}
