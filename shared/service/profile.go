package service

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// Profile writes a CPU profile of the process to a file until stop is called, in the form
// that `go tool pprof` reads. Without a name it does nothing.
func Profile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("FFF_CPU_PROFILE: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("FFF_CPU_PROFILE: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
