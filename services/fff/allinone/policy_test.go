package allinone_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
)

// The failure policy on the real path: for each rule a run that breaks it, stops, and comes
// to its end when the cause is cured; and one that only just does not break it.

// enough is how many cells a rule wants before it judges.
const enough = 1000

// many gives records of n users.
func many(n int) []record.Record {
	records := make([]record.Record, n)
	for i := range records {
		records[i] = record.Record{UserID: fmt.Sprintf("u%05d", i), EpochMS: firstMS + int64(i)*3_600_000}
	}
	return records
}

func numberOf(user string) int { n, _ := strconv.Atoi(user[1:]); return n }

// policy is a job of one family with a failure policy.
func policy(family, rules string) job {
	return job{families: "\n  - " + family, more: "failure_policy: {" + rules + "}", lanes: "max_attempts: 2"}
}

// stopsBy waits for the run to be stopped by a rule, and looks at what is said about it.
func (r *run) stopsBy(rule, says string) {
	r.t.Helper()
	st := r.ends(control.Failed)
	if !strings.HasPrefix(st.Reason, "stopped by failure_policy."+rule+": ") || !strings.Contains(st.Reason, says) {
		r.t.Errorf("the run was stopped because %q; want rule %s to say %q", st.Reason, rule, says)
	}
	if r.has("_SUCCESS") || !r.has("_manifest.json") {
		r.t.Errorf("_SUCCESS is there: %v; the manifest: %v", r.has("_SUCCESS"), r.has("_manifest.json"))
	}
}

// unwarned checks that no rule was broken.
func (r *run) unwarned(st *control.Status) {
	r.t.Helper()
	if len(st.Warnings) > 0 {
		r.t.Errorf("the run has the warnings %q", st.Warnings)
	}
}

// heard waits until the leader has heard of so many cells of a stage.
func (r *run) heard(stage string, out, failed int64) {
	r.t.Helper()
	r.await(fmt.Sprintf("%s says that it has %d cells, and %d failed", stage, out, failed), func() bool {
		for _, s := range r.status().Stages {
			if s.Name == stage && s.CellsOut == out && s.CellsFailed == failed {
				return true
			}
		}
		return false
	})
}

func TestFailedRatioStopsTheRun(t *testing.T) {
	for _, failing := range []int{enough / 100, enough/100 + 1} {
		t.Run(strconv.Itoa(failing), func(t *testing.T) {
			j := policy("{id: direct_a, cached: false}", "")
			s := start(t, j)
			s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
				if numberOf(q.UserID) < failing {
					return featureservice.Fault{Status: 404}
				}
				return featureservice.Fault{}
			}})
			r, records := s.open(j), many(enough)
			r.publish(records)
			if failing > enough/100 { // it stops by itself, though its input is open
				r.stopsBy("failed_ratio", "1.1 % of the last 1,000 cells of family direct_a failed at fs-fast, more than 1 % (mostly rejected: ")
			} else {
				r.heard("fs-fast", int64(enough-failing), int64(failing))
				r.close(enough)
				r.unwarned(r.ends(control.CompletedWithFailures))
			}
			s.Sandbox().SetFaults(sandbox.Faults{})
			r.reopen(j)
			r.submit(records)
			r.unwarned(r.ends(control.Completed))
			r.isExact()
		})
	}
}

func TestRepeatedErrorsStopTheRun(t *testing.T) {
	for _, failing := range []int{100, 101} {
		t.Run(strconv.Itoa(failing), func(t *testing.T) {
			j := policy("{id: direct_a, cached: false}", "repeated_errors: {do: stop}")
			s := start(t, j)
			var failed atomic.Int64
			s.Sandbox().SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
				if failed.Add(1) <= int64(failing) {
					return featureservice.Fault{Status: 500}
				}
				return featureservice.Fault{}
			}})
			// So many, and attempts, that no request fails twice in a row for good.
			j.lanes = "max_attempts: 100"
			r, records := s.open(j), many(200)
			r.publish(records)
			if failing > 100 {
				r.stopsBy("repeated_errors", "101 failed attempts at fs-fast were server_error within 5m0s, the last: ")
				r.reopen(j)
				r.publish(records) // all may have been fetched by the second attempt already
			} else {
				r.heard("fs-fast", int64(len(records)), 0)
			}
			r.close(len(records))
			r.unwarned(r.ends(control.Completed))
			r.isExact()
		})
	}
}

func TestAStallStopsTheRun(t *testing.T) {
	for after, stalls := range map[string]bool{"1s": true, "60s": false} {
		t.Run(after, func(t *testing.T) {
			j := policy("{id: direct_a, cached: false}", "stall: {after: "+after+"}")
			s := start(t, j)
			s.Sandbox().SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
				return featureservice.Fault{Status: 503}
			}})
			r, records := s.open(j), many(20)
			r.submit(records)
			if stalls {
				r.stopsBy("stall", "no cell was committed for 1s while messages wait: ")
			} else {
				r.await("the lane waits for the service", func() bool {
					for _, st := range r.status().Stages {
						if st.Name == "fs-fast" && st.Waiting != "" {
							return true
						}
					}
					return false
				})
			}
			s.Sandbox().SetFaults(sandbox.Faults{})
			if stalls {
				j.more = "" // a machine that is busy may need more than a second for a part
				r.reopen(j)
				r.submit(records)
			}
			r.unwarned(r.ends(control.Completed))
			r.isExact()
		})
	}
}

// badData is what a service that has gone wrong answers: the JSON object of user n at first,
// and of those that come when the family's schema is known.
type badData struct {
	rule, says    string
	family        string // "" = direct_a, of which nothing is declared
	rows          int
	first, second func(n int) string
}

// fields gives an object that is in order but for one member.
func fields(bad func(n int) string) func(int) string {
	return func(n int) string {
		more := bad(n)
		if more != "" {
			more = "," + more
		}
		return fmt.Sprintf(`{"id":%d%s}`, n, more)
	}
}

// below gives a for the users below a number, else b.
func below(limit int, a, b string) func(int) string {
	return func(n int) string {
		if n < limit {
			return a
		}
		return b
	}
}

func number(n int) string { return fmt.Sprintf(`"x":%d.5`, n) }

var badness = map[string]struct{ fires, near badData }{
	"nulls": {
		badData{rule: "data.null_ratio", says: "features of family direct_a are null in more than 50 % of the rows: x (50.1 %)", first: fields(func(n int) string {
			return below(501, `"x":null`, number(n))(n)
		})},
		badData{first: fields(func(n int) string { return below(500, `"x":null`, number(n))(n) })},
	},
	"not finite": {
		badData{rule: "data.not_finite", says: "x (1 of 1,000)", first: fields(func(n int) string { return below(1, `"x":NaN`, number(n))(n) })},
		badData{rows: enough - 1, first: fields(func(n int) string { return below(1, `"x":-Infinity`, number(n))(n) })},
	},
	"constant": {
		badData{rule: "data.constant", says: "x (1,000 values)", first: fields(below(0, "", `"x":"never"`))},
		badData{first: fields(below(1, `"x":"once"`, `"x":"never"`))},
	},
	"missing": {
		badData{rule: "data.missing_feature", says: "x", family: "{id: direct_a, cached: false, features: {x: double}}", first: fields(below(0, "", ""))},
		badData{family: "{id: direct_a, cached: false, features: {x: double}}", first: fields(func(n int) string { return below(500, number(n), "")(n) })},
	},
	"new": {
		badData{rule: "data.new_feature", says: "y", first: fields(number), second: fields(func(n int) string { return number(n) + `,"y":1` })},
		badData{first: fields(func(n int) string { return number(n) + below(500, `,"y":2`, "")(n) }), second: fields(func(n int) string { return number(n) + `,"y":1` })},
	},
	"drift": {
		badData{rule: "data.type_drift", says: "x (texts, at first numbers)", first: fields(number), second: fields(below(0, "", `"x":"n/a"`))},
		badData{first: fields(number), second: fields(func(n int) string { return fmt.Sprintf(`"x":%d`, n) })},
	},
	"declared drift": {
		badData{rule: "data.type_drift", says: `cells with values that do not fit the declared types: 1; the last: feature "x" of family "direct_a"`, family: "{id: direct_a, cached: false, features: {x: double}}",
			first: fields(func(n int) string { return below(1, `"x":"n/a"`, number(n))(n) })},
		badData{family: "{id: direct_a, cached: false, features: {x: double}}", first: fields(func(n int) string { return below(1, `"x":1`, number(n))(n) })},
	},
}

// stopAll lets every rule about the data stop the run.
const stopAll = "data: {null_ratio: {do: stop}, not_finite: {do: stop}, constant: stop, missing_feature: stop, new_feature: stop, type_drift: stop}"

func TestBadDataStopsTheRun(t *testing.T) {
	for name, one := range badness {
		t.Run(name, func(t *testing.T) {
			s := start(t, policy("{id: direct_a, cached: false}", stopAll))
			for run, c := range map[string]badData{"near": one.near, "fires": one.fires} {
				family, rows := "{id: direct_a, cached: false}", enough
				if c.family != "" {
					family = c.family
				}
				if c.rows > 0 {
					rows = c.rows
				}
				j := policy(family, stopAll)
				j.run = run
				var second atomic.Bool
				s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
					object := c.first
					if second.Load() {
						object = c.second
					}
					return featureservice.Fault{Body: fmt.Appendf(nil, `{"features":{"direct_a":%s}}`, object(numberOf(q.UserID)))}
				}})
				r, records := s.open(j), many(rows)
				r.publish(records)
				if c.second != nil {
					r.await("the first cells are committed", func() bool { return r.status().Committed == int64(rows) })
					second.Store(true)
					records = many(rows + 100)
					r.publish(records[rows:])
				}
				if c.rule == "" {
					r.close(len(records))
					r.unwarned(r.ends(control.Completed))
					continue
				}
				r.stopsBy(c.rule, c.says)
				if t.Failed() {
					return
				}
				s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
					return featureservice.Fault{Body: fmt.Appendf(nil, `{"features":{"direct_a":%s}}`, fields(number)(numberOf(q.UserID)))}
				}})
				r.reopen(j)
				r.submit(records)
				r.ends(control.Completed)
			}
		})
	}
}

// What comes from DynamoDB is looked at just so.
func TestBadItemsStopTheRun(t *testing.T) {
	j := policy("{id: fast_a}", "data: {constant: stop}")
	s := start(t, j)
	s.Sandbox().SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault {
		return dynamodb.Fault{Key: func(_, user, sort string) dynamodb.KeyFault {
			return dynamodb.KeyFault{Item: fmt.Appendf(nil, `{"user_id":{"S":%q},"feature_key":{"S":%q},"id":{"N":"%d"},"x":{"BOOL":true}}`, user, sort, numberOf(user))}
		}}
	}})
	r := s.open(j)
	r.publish(many(enough))
	r.stopsBy("data.constant", "features of family fast_a have one and the same value everywhere: x (1,000 values)")
}
