package featureservice

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/testcpu"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// usualAnswer gives families of 60 numbers each, and an answer that holds them.
func usualAnswer(families int) (ids []string, body []byte) {
	const features = 60
	random := rand.New(rand.NewPCG(7, 7))
	var b strings.Builder
	b.WriteString(`{"features":{`)
	for i := range families {
		ids = append(ids, fmt.Sprintf("family_%02d", i))
		fmt.Fprintf(&b, `%s"%s":{`, [2]string{"", ","}[min(i, 1)], ids[i])
		for j := range features {
			fmt.Fprintf(&b, `%s"feature_%02d":%.6f`, [2]string{"", ","}[min(j, 1)], j, random.NormFloat64()*1000)
		}
		b.WriteString("}")
	}
	b.WriteString(`},"errors":{}}`)
	return ids, []byte(b.String())
}

// A usual answer: 20 families of 60 numbers.
func BenchmarkAnswer(b *testing.B) {
	ids, data := usualAnswer(20)
	a, builder := newAnswer(), packed.NewBuilder()
	r := work.Request{UserID: "user", Families: ids}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if builder.Size() > work.TargetPackedBytes {
			builder.Reset()
		}
		if err := a.read(data, ids, builder); err != nil {
			b.Fatal(err)
		}
		r.EpochMS = int64(i)
		if err := a.closeRows(&r, builder); err != nil {
			b.Fatal(err)
		}
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(len(ids))
	b.ReportMetric(ns/1000, "µs/family")
	b.ReportMetric(ns/60, "ns/value")
}

// gathered takes rows as the runner does, and drops them when a message is full.
type gathered struct {
	mu sync.Mutex
	b  *packed.Builder
}

func (g *gathered) Cells(_ context.Context, _ packed.Source, fn func(*packed.Builder) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.b.Size() >= work.TargetPackedBytes {
		g.b.Reset()
	}
	return fn(g.b)
}

func (g *gathered) Request(context.Context, stage.Name, work.Request) error { panic("no requests") }

// Requests of 10 families from 64 units at the same time, to a server in a process of its
// own. It is this process's time that counts: cpu-µs/request.
func BenchmarkLane(b *testing.B) {
	ids, body := usualAnswer(10)
	run := runOn("http://" + startFixed(b, body) + "/features")
	client := NewClient()
	defer client.Close()
	lane := NewLane(client, &slots{}, runfile.LaneFast, func(f *runfile.FeatureService) runfile.LaneLimits { return f.Fast }, nil)
	out := &gathered{b: packed.NewBuilder()}
	m := &stage.Message{Run: run}
	b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	before := testcpu.Used(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		r := work.Request{UserID: "user-0000001", EpochMS: 1_700_000_000_000, Families: ids}
		for pb.Next() {
			if v := lane.Do(b.Context(), m, r, out); v != nil {
				b.Error(v[0].Err)
				return
			}
		}
	})
	b.ReportMetric(float64((testcpu.Used(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/request")
}

// fixedBody, in the environment, makes this program the server of the benchmark.
const fixedBody = "FFF_TEST_FIXED_BODY"

func TestMain(m *testing.M) {
	if file := os.Getenv(fixedBody); file != "" {
		if err := serveFixed(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// startFixed starts a server whose answers are all the same, and gives its address.
func startFixed(b *testing.B, body []byte) string {
	file := filepath.Join(b.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		b.Fatal(err)
	}
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), fixedBody+"="+file)
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		server.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// serveFixed answers every request with what a file holds, and does as little else as it
// can. It ends with its input.
func serveFixed(file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(c, answer)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// answerAll reads requests, each of which ends with the object that it holds, and answers
// them.
func answerAll(c net.Conn, answer []byte) {
	defer c.Close()
	buffer := make([]byte, 64<<10)
	n := 0
	for {
		more, err := c.Read(buffer[n:])
		if err != nil {
			return
		}
		if n += more; n == 0 || buffer[n-1] != '}' {
			continue
		}
		n = 0
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
