package allinone_test

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/failure"
)

// asksOnlyForMisses checks that the feature service was asked for no cell that DynamoDB
// has, and for every other one once.
func (r *run) asksOnlyForMisses() {
	r.t.Helper()
	truth, misses := r.truth(), int64(0)
	for _, record := range r.records {
		for _, family := range r.familiesOf(record.Families) {
			if !truth.Cached(record.UserID, record.EpochMS, family) {
				misses++
			}
		}
	}
	if asked := r.Sandbox().FeatureService.Stats().Families; asked != misses {
		r.t.Errorf("the feature service was asked for %d cells, %d are not in DynamoDB", asked, misses)
	}
}

// A key that was not looked up is no miss.
func TestUnprocessedKeysAreNoMisses(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault {
		return dynamodb.Fault{Unprocessed: 0.5}
	}})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.Completed)
	r.isExact()
	r.asksOnlyForMisses()
	if n := s.Sandbox().DynamoDB.Stats().Unprocessed; n == 0 {
		t.Error("no key was unprocessed")
	}
}

// Errors, broken answers and throttling, as many of each as a message may meet.
func TestErrorsOfDynamoDBThatPassAreNoMisses(t *testing.T) {
	s := start(t, job{})
	hard := []dynamodb.Fault{
		{Err: dynamodb.InternalServerError()}, {Truncate: true}, {CorruptBody: true},
		{Err: &dynamodb.Error{Status: 503, Code: "ServiceUnavailable", Message: "not now"}},
	}
	s.Sandbox().SetFaults(sandbox.Faults{BatchGet: func(c dynamodb.Call) dynamodb.Fault {
		switch n := int(c.Number) - 1; {
		case n < len(hard): // fewer than a message has attempts
			return hard[n]
		case n < 12:
			return dynamodb.Fault{Err: dynamodb.Throttled(c.Tables[0])}
		case n < 14:
			return dynamodb.Fault{Err: &dynamodb.Error{Status: 400, Code: "ThrottlingException", Message: "slow down"}}
		}
		return dynamodb.Fault{Unprocessed: 0.2}
	}})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.Completed)
	r.isExact()
	r.asksOnlyForMisses()
	if stats := s.Sandbox().DynamoDB.Stats(); stats.Throttled != 10 || stats.Failed != 2 {
		t.Errorf("%d calls were throttled, %d failed; want 10 and 2", stats.Throttled, stats.Failed)
	}
}

// DynamoDB returns at most 1 MB of one partition; the rest of the keys is unprocessed.
func TestMoreThanAMegabyteOfOnePartition(t *testing.T) {
	var wide strings.Builder
	for i := range 40 { // names count as bytes of an item, too
		fmt.Fprintf(&wide, "f%02d%s: double, ", i, strings.Repeat("x", 600))
	}
	j := job{
		families: "\n  - {id: wide, features: {" + strings.TrimSuffix(wide.String(), ", ") + "}}\n  - {id: fast_a}",
		dynamodb: `table: partitioned, partition_key: {name: family, value: "{family}"}, sort_key: {name: user_at, value: "{user_id}#{pitc_timestamp}"}`,
	}
	s := start(t, j)
	r := s.open(j)
	records := append(recordsOf("u"), recordsOf("v")...)
	r.send("", batch(records)) // one batch makes a full block, and that full calls
	r.asked(records)
	r.close(len(records))
	r.ends(control.Completed)
	r.isExact()
	r.asksOnlyForMisses()
	if n := s.Sandbox().DynamoDB.Stats().Unprocessed; n == 0 {
		t.Error("no key was unprocessed")
	}
}

// An item that cannot be read has failed, and is neither a hit nor a miss.
func TestBadItemsAreNoMisses(t *testing.T) {
	s := start(t, job{})
	bad := func(user, family string) bool {
		h := fnv.New32a()
		_, _ = h.Write([]byte(user + family)) // cannot fail
		return h.Sum32()%4 == 0
	}
	s.Sandbox().SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault {
		return dynamodb.Fault{Unprocessed: 0.2, Key: func(_, user, sort string) dynamodb.KeyFault {
			family, _, _ := strings.Cut(sort, "#")
			if !bad(user, family) {
				return dynamodb.KeyFault{}
			}
			return dynamodb.KeyFault{Item: fmt.Appendf(nil, `{"user_id":{"S":%q},"feature_key":{"S":%q},"broken":{"N":"seven"}}`, user, sort)}
		}}
	}})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	truth := r.truth()
	r.lacksOnly(func(c cell) string {
		if family, _ := r.file.Family(c.family); !family.Cached || !bad(c.user, c.family) {
			return ""
		}
		return string(failure.BadItem)
	})
	misses := int64(0)
	for _, record := range r.records {
		for _, f := range r.file.Families {
			if !truth.Cached(record.UserID, record.EpochMS, f.ID) && !(f.Cached && bad(record.UserID, f.ID)) {
				misses++
			}
		}
	}
	if asked := s.Sandbox().FeatureService.Stats().Families; asked != misses {
		t.Errorf("the feature service was asked for %d cells, want %d", asked, misses)
	}
	for _, l := range r.letters() {
		if l.Code != string(failure.BadItem) || l.Stage != "dynamo" || l.Attempts != 1 || !strings.Contains(l.Reason, "broken") {
			t.Errorf("letter: %+v", l)
		}
	}

	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replay(control.Selection{Code: string(failure.BadItem)})
	r.ends(control.Completed)
	r.isExact()
}

// A table that stays away for all attempts makes dead letters, and no misses.
func TestErrorsOfDynamoDBThatStayAreDeadLetters(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault {
		return dynamodb.Fault{Err: dynamodb.InternalServerError()}
	}})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	r.lacksOnly(func(c cell) string {
		if family, _ := r.file.Family(c.family); family.Cached {
			return string(failure.DynamoDBError)
		}
		return ""
	})
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replay(control.Selection{All: true})
	r.ends(control.Completed)
	r.isExact()
	r.asksOnlyForMisses()
}
