// Command generate writes examples/records.jsonl: 2,000 samples in all the forms that a
// record may have. It writes the same bytes every time.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

//go:generate go run . -o ../records.jsonl

const samples = 2000 // distinct ones; some are given more than once

func main() {
	path := flag.String("o", "records.jsonl", "file to write")
	flag.Parse()
	data, err := records()
	if err == nil {
		err = os.WriteFile(*path, data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// record is one line, in the form of a record batch.
type record struct {
	UserID        any            `json:"user_id"`
	PITCTimestamp any            `json:"pitc_timestamp"`
	Families      []string       `json:"feature_families,omitempty"`
	Attributes    map[string]any `json:"attributes,omitempty"`
}

// sample is a user at a point in time, and how both are written.
type sample struct {
	user   user
	at     time.Time
	record record
}

// user is a user id; a number is written as an integer.
type user struct {
	id     string
	number bool
}

// records gives the whole file.
func records() ([]byte, error) {
	r := rand.New(rand.NewPCG(2025, 131))
	users := users(r, 1300)
	seen := map[string]bool{}
	var list []sample
	for len(list) < samples {
		s := sample{user: users[r.IntN(len(users))], at: pointInTime(r)}
		if key := s.user.id + s.at.String(); !seen[key] {
			seen[key] = true
			s.record = record{UserID: s.user.write(), PITCTimestamp: writeTime(r, s.at), Families: families(r), Attributes: attributes(r)}
			list = append(list, s)
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for i, s := range list {
		lines := []record{s.record}
		if i%80 == 79 {
			lines = append(lines, again(s, i/80))
		}
		for _, line := range lines {
			if err := e.Encode(line); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// users gives n distinct users, most of them strings of a few kinds.
func users(r *rand.Rand, n int) []user {
	names := []string{"åsa", "wanjikũ", "o'neil", "José María", "用户", "Ζωή", "amal+test", "x#y/z"}
	out := make([]user, n)
	for i := range out {
		switch i % 10 {
		case 0, 1: // integers
			out[i] = user{strconv.Itoa(10_000_000 + i*37), true}
		case 2: // integers that a double would round
			out[i] = user{strconv.FormatInt(9_007_199_254_740_993+int64(i)*2, 10), true}
		case 3: // UUIDs
			out[i] = user{id: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))}
		case 4: // names
			out[i] = user{id: fmt.Sprintf("%s-%d", names[r.IntN(len(names))], i)}
		case 5: // strings of digits, with zeros in front
			out[i] = user{id: fmt.Sprintf("%012d", i*7919)}
		default:
			out[i] = user{id: fmt.Sprintf("c-%06d", i*97)}
		}
	}
	return out
}

func (u user) write() any {
	if u.number {
		return json.Number(u.id)
	}
	return u.id
}

// pointInTime gives a time in 2024 or in the first half of 2025; one in eight has
// milliseconds.
func pointInTime(r *rand.Rand) time.Time {
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(546*24*3600)) * time.Second)
	switch r.IntN(8) {
	case 0:
		return at.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
	case 1, 2:
		return at.Truncate(24 * time.Hour)
	default:
		return at
	}
}

var zones = []*time.Location{
	time.UTC, time.UTC, time.UTC,
	time.FixedZone("", 3*3600),
	time.FixedZone("", -5*3600),
	time.FixedZone("", 5*3600+45*60),
}

// writeTime writes a time in some zone, or in epoch milliseconds.
func writeTime(r *rand.Rand, at time.Time) any {
	if r.IntN(10) == 0 {
		return at.UnixMilli()
	}
	return at.In(zones[r.IntN(len(zones))]).Format(time.RFC3339Nano)
}

// families gives a choice of families for one record in 15; the others ask for all.
func families(r *rand.Rand) []string {
	if r.IntN(15) != 0 {
		return nil
	}
	some := []string{"credit_score", "credit_bureau", "income", "sms", "device", "device_risk", "geo", "bank_statement", "travel", "cohort"}
	r.Shuffle(len(some), func(a, b int) { some[a], some[b] = some[b], some[a] })
	return some[:1+r.IntN(len(some)-1)]
}

// attributes gives one record in 20 something for the feature service.
func attributes(r *rand.Rand) map[string]any {
	if r.IntN(20) != 0 {
		return nil
	}
	a := map[string]any{"country": []string{"KE", "TZ", "UG", "NG"}[r.IntN(4)]}
	if r.IntN(2) == 0 {
		a["device"] = map[string]any{"os": "android", "version": 9 + r.IntN(6)}
	}
	return a
}

// again gives a record of the same sample: the same one, one with the time in another
// zone, or one with other families, of which the union is fetched. Attributes stay, for
// they may not differ.
func again(s sample, n int) record {
	out := s.record
	switch n % 3 {
	case 1:
		out.PITCTimestamp = s.at.In(zones[3+n/3%3]).Format(time.RFC3339Nano)
		if s.user.number {
			out.UserID = s.user.id // an integer is taken as its decimal string
		}
	case 2:
		out.Families = []string{"credit_score", "wallet"}
	}
	return out
}
