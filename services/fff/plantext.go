package fff

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/warmup/database"
)

// text gives the plan for people.
func (p *Plan) text() string {
	var b strings.Builder
	n := humanize.Comma
	fmt.Fprintf(&b, "run %s: %s records, %s samples, %s cells, some %s before compression\n",
		p.Run, n(p.Records), n(p.Samples), n(p.Cells), humanize.Bytes(uint64(max(p.Bytes, 0))))
	if p.BadRecords > 0 {
		fmt.Fprintf(&b, "  %s bad records are left out\n", n(p.BadRecords))
	}
	fmt.Fprintf(&b, "\ncalls and time at least, each stage by itself; they work at the same time\n")
	for _, s := range p.Stages {
		fmt.Fprintf(&b, "  %-15s %15s %-9s %10s  limited by %s\n", s.Stage, n(int64(s.Calls+0.5)), unitOf[s.Stage], seconds(s.DurationS), s.Limit)
	}
	fmt.Fprintf(&b, "  at least %s in all; the bottleneck is %s\n", seconds(p.DurationS), p.Bottleneck)
	for _, t := range p.Tables {
		counted := n(t.Capacity) + " are counted on"
		if t.Capacity == 0 {
			counted = "it was not looked up, and is taken for able to do that"
		}
		fmt.Fprintf(&b, "\ntable %s: %s keys, %s read units; %s a second would do for the target; %s\n",
			t.Table, n(t.Keys), n(int64(t.ReadUnits+0.5)), n(t.Needed), counted)
	}
	p.changes(&b)
	p.money(&b)
	a := p.Assumptions
	fmt.Fprintf(&b, "\nassumed: %v of the cached cells are found, %s an item, %v a call to DynamoDB, %v a fast and %v a slow request, %d instances of the fetcher, %s a second written\n",
		a.HitRatio, humanize.Bytes(uint64(a.ItemBytes)), a.DynamoDBCall, a.FastRequest, a.SlowRequest, a.FetcherInstances, humanize.Bytes(uint64(a.WriteBytes)))
	if a.AutoIsFast {
		b.WriteString("families whose lane is auto are counted as fast\n")
	}
	for _, over := range p.BudgetProblem {
		fmt.Fprintf(&b, "OVER BUDGET: %s\n", over)
	}
	return b.String()
}

// unitOf says what a stage's calls are.
var unitOf = map[string]string{"dynamo-fetcher": "calls", "fs-fast": "requests", "fs-slow": "requests", "writer": "cells"}

func (p *Plan) changes(b *strings.Builder) {
	if len(p.Changes) == 0 {
		fmt.Fprintf(b, "\nwarm-up changes nothing\n")
		return
	}
	fmt.Fprintf(b, "\nwarm-up would change, and bring down at the end, or after %s at the latest\n", seconds(p.MaxHoldS))
	for _, c := range p.Changes {
		switch {
		case c.Problem != "":
			fmt.Fprintf(b, "  %s: NOT POSSIBLE: %s\n", c.Resource, c.Problem)
		case maps.Equal(c.From, c.To):
			fmt.Fprintf(b, "  %s: nothing; it has %s\n", c.Resource, c.From)
		case c.Permanent:
			fmt.Fprintf(b, "  %s: %s → %s, for good\n", c.Resource, c.From, c.To)
		default:
			fmt.Fprintf(b, "  %s: %s → %s, and back\n", c.Resource, c.From, c.To)
		}
		for _, note := range c.Notes {
			fmt.Fprintf(b, "    note: %s\n", note)
		}
	}
}

func (p *Plan) money(b *strings.Builder) {
	fmt.Fprintf(b, "\nmoney, beyond what is paid anyway\n")
	for _, c := range p.Costs {
		fmt.Fprintf(b, "  %10.2f USD  %s\n", c.USD, c.What)
	}
	for _, c := range p.Changes {
		if c.From[database.Class] != c.To[database.Class] {
			fmt.Fprintf(b, "  not counted: %s as %s instead of %s\n", c.Resource, c.To[database.Class], c.From[database.Class])
		}
	}
	fmt.Fprintf(b, "  %10.2f USD  in all; not counted: the feature service, S3, traffic\n", p.CostUSD)
	fmt.Fprintf(b, "  prices in USD, to be checked: %v a million reads on demand, %v a read unit and hour, %v a write unit and hour, %v an ACU and hour\n",
		p.Prices.OnDemandReadMillion, p.Prices.ReadUnitHour, p.Prices.WriteUnitHour, p.Prices.ACUHour)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
