package dataset

import (
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Versions says what writes a dataset: "fff", its "revision" where it is known, "go" and
// "parquet-go". The map is the caller's.
func Versions() map[string]string { return maps.Clone(versions()) }

var versions = sync.OnceValue(func() map[string]string {
	v := map[string]string{"fff": "0.0.0", "go": strings.TrimPrefix(runtime.Version(), "go")}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if released, ok := strings.CutPrefix(info.Main.Version, "v"); ok {
		v["fff"] = released
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v["revision"] = s.Value
		}
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/parquet-go/parquet-go" {
			v["parquet-go"] = strings.TrimPrefix(m.Version, "v")
		}
	}
	return v
})
