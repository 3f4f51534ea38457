// Package goroutine starts goroutines for work that goes deep, such as requests over a
// network. A stack that grows under way has to be moved with all that is on it.
package goroutine

import "sync"

// stackBytes is what such work needs.
const stackBytes = 6 << 10

// Go runs fn as wg.Go does, on a stack that is large enough from the start.
func Go(wg *sync.WaitGroup, fn func()) {
	wg.Go(func() {
		grow(false)
		fn()
	})
}

// grow makes the stack larger, while nearly nothing is on it. The runtime makes room for the
// frame of a call whether it is used or not; use is false, so that nobody pays for clearing
// it.
//
//go:noinline
func grow(use bool) {
	if use {
		var frame [stackBytes]byte
		touch(&frame)
	}
}

//go:noinline
func touch(frame *[stackBytes]byte) { frame[0]++ }
