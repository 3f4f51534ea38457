package service_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/service"
)

func TestProfile(t *testing.T) {
	stop, err := service.Profile("")
	if err != nil || stop() != nil {
		t.Fatalf("no profile was asked for: %v", err)
	}
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	if stop, err = service.Profile(file); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Profile(file + "2"); err == nil || !strings.Contains(err.Error(), "FFF_CPU_PROFILE") {
		t.Errorf("a second profile of a process: %v, want an error that names the setting", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(file); err != nil || len(data) == 0 {
		t.Errorf("the profile has %d bytes: %v", len(data), err)
	}
	if _, err := service.Profile(filepath.Join(file, "below")); err == nil || !strings.Contains(err.Error(), "FFF_CPU_PROFILE") {
		t.Errorf("a profile where no file can be: %v, want an error that names the setting", err)
	}
}
