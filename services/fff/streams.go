package fff

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/streams"
)

type streamsCmd struct {
	Show   streamsShowCmd   `cmd:"" help:"Show the streams that the system needs."`
	Apply  streamsApplyCmd  `cmd:"" help:"Make the streams, and update those that differ."`
	Export streamsExportCmd `cmd:"" help:"Write the streams and consumers as JSON files for the nats CLI."`
}

type streamsShowCmd struct{ listing }

// Run is called by kong.
func (c *streamsShowCmd) Run(a *app) error {
	all := streams.Configs()
	if c.Output == "json" {
		return writeJSON(a.stdout, all)
	}
	var rows [][]string
	for _, s := range all {
		rows = append(rows, []string{s.Name, strings.Join(s.Subjects, " "), strings.ToLower(s.Retention.String()), humanize.IBytes(uint64(max(s.MaxBytes, 0))), s.Description})
	}
	return writeTable(a.stdout, columns{"stream", "subjects", "retention", ">max bytes", "what it is for"}, rows)
}

type streamsApplyCmd struct {
	connection
	Replicas int  `enum:"1,3,5" default:"1" help:"Copies of each stream: 1 on a single server, 3 or 5 on a cluster."`
	Reset    bool `help:"Also take back what was changed by hand: max_bytes, replicas, placement and compression."`
}

// Run is called by kong.
func (c *streamsApplyCmd) Run(a *app) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	apply := streams.Ensure
	if c.Reset {
		apply = streams.Reset
	}
	if err := apply(a.soft, s.Broker.JS, c.Replicas); err != nil {
		return err
	}
	a.note("%d streams are in place at %s", len(streams.Configs()), s.URL)
	return nil
}

type streamsExportCmd struct {
	Dir string `arg:"" help:"Directory to write to; made when missing."`
}

// Run is called by kong.
func (c *streamsExportCmd) Run(a *app) error {
	files := streams.Export()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(c.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		fmt.Fprintln(a.stdout, path)
	}
	return nil
}
