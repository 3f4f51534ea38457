package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine describes what is measured on; what the system does not tell is left out.
func machine() string {
	parts := []string{fmt.Sprintf("%d CPUs", runtime.NumCPU())}
	if v := field("/proc/cpuinfo", "model name"); v != "" {
		parts[0] += " " + v
	}
	if v := field("/proc/meminfo", "MemTotal"); v != "" {
		var kib int64
		if _, err := fmt.Sscan(v, &kib); err == nil {
			parts = append(parts, fmt.Sprintf("%d GiB of memory", (kib+1<<19)>>20))
		}
	}
	parts = append(parts, firstLine("uname", "-srm"))
	if v := firstLine("stat", "-f", "-c", "%T", os.TempDir()); v != "" {
		parts = append(parts, "jobs on "+v)
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		parts = append(parts, "load average at the start "+strings.Fields(string(data))[0])
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}

// field gives the first value of a name in a file of the form "name: value".
func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
