package harness

import (
	"os/exec"
	"syscall"
)

// endWithTests has the kernel kill a program when the tests end without having ended it:
// killed themselves, or out of time. It goes by the thread that starts the program; Go ends
// no thread that it has not locked to a goroutine, and nothing here locks one.
func endWithTests(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
