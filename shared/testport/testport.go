// Package testport gives tests ports for servers that cannot choose their own, or that must
// come back where they were.
package testport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ports below the ephemeral ones: Linux gives connections 32768 and up, macOS 49152 and up.
// A port of those may be taken by anybody's connection while its server is away.
const first, count = 12000, 20000

// last counts the ports that were given out, from a place of this test binary's own.
var last = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(count))
	return &n
}()

// Free gives a port of the loopback that nobody listens on and that no other test of this
// binary is given.
func Free(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := int(first + last.Add(1)%count)
		if l, err := net.Listen("tcp", Addr(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// Addr gives the address of a port.
func Addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
