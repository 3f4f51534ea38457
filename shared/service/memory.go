package service

import (
	"os"
	"runtime/debug"
)

// Memory is what a service takes of its machine's memory at the most. A service's settings
// tell it by a method MemoryBound.
type Memory struct {
	Bytes     int64
	PerSample int64  // bytes more for each sample of the runs that work at the time
	Rooms     []Room // of which Bytes is made
}

// Room is what a service gives to a part of its work, over all runs. What finds none waits.
type Room struct {
	For     string // in words, such as "messages in hand"
	Setting string // that it follows, "" if there is none
	Bytes   int64
}

// MemoryFor gives the bound of a service with these rooms. The garbage collector needs a
// quarter more; the program itself, its connections and the messages fetched ahead of some
// runs need the rest.
func MemoryFor(rooms ...Room) Memory {
	var n int64
	for _, r := range rooms {
		n += r.Bytes
	}
	return Memory{Bytes: ProgramBytes + n + n/4, Rooms: rooms}
}

// ProgramBytes is what a service takes without any work.
const ProgramBytes = 64 << 20

// limitMemory has the garbage collector work harder before the process grows beyond its
// bound. Without that it lets memory grow to twice of what is in use. A limit that somebody
// has set is left alone, and there is none for memory that grows with the samples: there it
// could only slow the service down.
func limitMemory(settings any) {
	bounded, ok := settings.(interface{ MemoryBound() Memory })
	if !ok || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if m := bounded.MemoryBound(); m.PerSample == 0 {
		debug.SetMemoryLimit(m.Bytes)
	}
}
