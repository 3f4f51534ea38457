// Package testcpu tells benchmarks how much processor time they take, which depends less than
// the clock on what else the machine does.
package testcpu

import (
	"syscall"
	"testing"
	"time"
)

// Used gives the processor time that the process has used so far.
func Used(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
