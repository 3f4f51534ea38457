package fff

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Settings lists every setting of every process, as `fff config` and docs/settings.md
// show them.
func Settings() []settings.Group {
	return []settings.Group{
		{Title: "Every process", Spec: &settings.Common{}},
		{Title: "ingest", Spec: &ingest.Config{}},
		{Title: "dynamo-fetcher", Spec: &dynamofetcher.Config{}},
		{Title: "writer", Spec: &writer.Config{}},
		{Title: "orchestrator", Spec: &orchestrator.Config{}},
		{Title: "sandbox", Spec: &sandbox.Config{}},
	}
}

type configCmd struct {
	Output string `short:"o" enum:"table,json,markdown" default:"table" help:"Form of the result: table, json, or markdown as in docs/settings.md."`
}

// Run is called by kong.
func (c *configCmd) Run(a *app) error {
	if c.Output == "markdown" {
		return settings.WriteMarkdown(a.stdout, Settings()...)
	}
	all, err := settings.Describe(Settings()...)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(a.stdout, all)
	}
	var rows [][]string
	for _, s := range all {
		origin := "default"
		if s.Set {
			origin = "environment"
		}
		rows = append(rows, []string{s.Variable, s.Value, origin, s.Type, s.Description})
	}
	if err := writeTable(a.stdout, columns{"variable", "value", "from", "type", "what it is for"}, rows); err != nil {
		return err
	}
	return c.warn(a)
}

// warn tells of variables that look like settings and are none, and of values that no
// process would take.
func (c *configCmd) warn(a *app) error {
	unknown, err := settings.Unknown(os.Environ(), "FFF_", Settings()...)
	if err != nil {
		return err
	}
	for _, name := range unknown {
		a.note("%s is set, but no setting has that name", name)
	}
	for _, g := range Settings() {
		if err := settings.Load(g.Spec); err != nil {
			return err
		}
	}
	return nil
}

type versionCmd struct{}

// Run is called by kong.
func (versionCmd) Run(a *app) error {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(a.stdout, "fff %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
