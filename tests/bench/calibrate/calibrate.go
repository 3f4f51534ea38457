// Package calibrate measures how fast a machine is at the moment, by work that has nothing
// to do with the system: so that figures of different days can be compared.
//
// All of it is CPU time, which others who use the machine at the same time disturb least.
package calibrate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

// Reference is a piece of work and what it costs on the machine for which the floor of the
// job was stated.
type Reference struct {
	Name string  `json:"name"`
	Unit string  `json:"unit"`
	On   float64 `json:"reference,omitempty"` // 0 = nobody has measured it there
}

// References are all pieces of work, in the order of Figures.
var References = []Reference{
	{"strconv.ParseFloat, six decimals", "ns/value", 31},
	{"encoding/json of a feature service's answer into maps", "ns/value", 366},
	{"XXH3 of 64 MiB", "ns/KiB", 0},
	{"copy of 64 MiB", "ns/KiB", 0},
	{"zstd (fastest) of 8 MiB of doubles with six decimals", "ns/value", 0},
	{"HTTP round trip of 1 KiB on the loopback, both ends", "ns", 0},
}

// Figures are what the references cost now.
type Figures []float64

// Definition says what Factor is.
const Definition = "The speed factor says how many times as much CPU time the machine takes as the reference machine, by the means over the whole report: the least of the ratios of the pieces of work that were measured there, so that it flatters nobody. It is measured between the jobs, when a processor may be faster."

// Factor is how many times slower the machine is than the reference machine.
func (f Figures) Factor() float64 {
	least := math.Inf(1)
	for i, r := range References {
		if r.On > 0 && i < len(f) && f[i] > 0 {
			least = min(least, f[i]/r.On)
		}
	}
	if math.IsInf(least, 1) {
		return 1
	}
	return least
}

// Mean gives the means of several measurements.
func Mean(all ...Figures) Figures {
	mean := make(Figures, len(References))
	for _, f := range all {
		for i := range mean {
			mean[i] += f[i] / float64(len(all))
		}
	}
	return mean
}

// least is how long a piece of work is repeated, in CPU time.
const least = 200 * time.Millisecond

// Measure measures now, in a second or two. It is meant for a process of its own: the time
// of all goroutines counts.
func Measure() (Figures, error) {
	get, stop, err := roundTrip()
	if err != nil {
		return nil, err
	}
	defer stop()
	var figures Figures
	for _, one := range []func() (int, error){floats(), answers(), hashes(), copies(), compressed(), get} {
		ns, err := each(one)
		if err != nil {
			return nil, err
		}
		figures = append(figures, ns)
	}
	return figures, nil
}

// each gives the CPU nanoseconds that work takes for each of the units that it says it did:
// the least of three measurements.
func each(work func() (units int, err error)) (float64, error) {
	best := math.Inf(1)
	if _, err := work(); err != nil { // warm
		return 0, err
	}
	for range 3 {
		begin, units := cpu(), 0
		for cpu()-begin < least/3 {
			n, err := work()
			if err != nil {
				return 0, err
			}
			units += n
		}
		best = min(best, float64(cpu()-begin)/float64(units))
	}
	return best, nil
}

// cpu gives the CPU time of the process.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // there is no such error for oneself
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func numbers(n int) []float64 {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(random.IntN(1_000_000)) / 1e6
	}
	return out
}

func floats() func() (int, error) {
	var texts []string
	for _, v := range numbers(10_000) {
		texts = append(texts, strconv.FormatFloat(v, 'f', 6, 64))
	}
	return func() (int, error) {
		for _, s := range texts {
			if _, err := strconv.ParseFloat(s, 64); err != nil {
				return 0, err
			}
		}
		return len(texts), nil
	}
}

// answers reads ten families of 60 features each.
func answers() func() (int, error) {
	var b strings.Builder
	values := numbers(600)
	for i, v := range values {
		if i%60 == 0 {
			b.WriteString(map[bool]string{true: `{"features":{`, false: "},"}[i == 0])
			fmt.Fprintf(&b, `"family_%02d":{`, i/60)
		} else {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"feature_%02d":%.6f`, i%60, v)
	}
	b.WriteString("}}}")
	text := []byte(b.String())
	return func() (int, error) {
		var answer struct {
			Features map[string]map[string]float64 `json:"features"`
		}
		err := json.Unmarshal(text, &answer)
		return len(values), err
	}
}

const large = 64 << 20

func hashes() func() (int, error) {
	data := bytes.Repeat([]byte("xxh3"), large/4)
	return func() (int, error) {
		xxh3.Hash(data)
		return large >> 10, nil
	}
}

func copies() func() (int, error) {
	from, to := bytes.Repeat([]byte("copy"), large/4), make([]byte, large)
	return func() (int, error) { return copy(to, from) >> 10, nil }
}

func compressed() func() (int, error) {
	var data []byte
	for _, v := range numbers(1 << 20) {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	var out []byte
	return func() (int, error) {
		if err != nil {
			return 0, err
		}
		out = encoder.EncodeAll(data, out[:0])
		return len(data) / 8, nil
	}
}

// roundTrip asks a server of this process.
func roundTrip() (ask func() (int, error), stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	body := bytes.Repeat([]byte("x"), 1<<10)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	return func() (int, error) {
			answer, err := client.Post("http://"+l.Addr().String(), "text/plain", bytes.NewReader(body))
			if err != nil {
				return 0, err
			}
			_, err = io.Copy(io.Discard, answer.Body)
			return 1, errors.Join(err, answer.Body.Close())
		}, func() {
			client.CloseIdleConnections()
			_ = server.Close() // the process ends
		}, nil
}
