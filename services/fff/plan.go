package fff

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
	"github.com/fastfeaturefetch/fff/shared/warmup/database"
	"github.com/fastfeaturefetch/fff/shared/warmup/table"
)

// planCmd says what a run would take and change. It changes nothing.
type planCmd struct {
	File       string `short:"f" required:"" placeholder:"FILE" help:"Run file (YAML or JSON)."`
	Records    string `required:"" placeholder:"FILE" help:"Records file."`
	Output     string `short:"o" enum:"text,json" default:"text" help:"Form of the result: text or json."`
	Offline    bool   `help:"Do not look at the backends that warm_up names: what it would change stays unknown."`
	BadRecords string `enum:"fail,skip" default:"fail" help:"What to do about bad records of the file: fail, or leave them out of the count."`

	DynamodbLatency  time.Duration `name:"assume-dynamodb-latency" default:"20ms" help:"How long a call to DynamoDB is assumed to take."`
	FastLatency      time.Duration `name:"assume-fast-latency" default:"500ms" help:"The same for a request to the feature service on the fast lane."`
	SlowLatency      time.Duration `name:"assume-slow-latency" default:"5s" help:"The same on the slow lane."`
	HitRatio         *float64      `name:"assume-hit-ratio" placeholder:"RATIO" help:"Share of the cached cells that DynamoDB has; that of warm_up, or 0.8, when left out."`
	FetcherInstances int           `name:"assume-fetchers" default:"1" help:"How many instances of the dynamo-fetcher run."`

	Price map[string]float64 `placeholder:"NAME=USD" help:"Prices in place of the stated ones: on_demand_read_million, read_unit_hour, write_unit_hour, acu_hour."`
}

// Plan is the result of fff plan.
type Plan struct {
	Run           string               `json:"run"`
	Records       int64                `json:"records"`
	BadRecords    int64                `json:"bad_records"`
	Samples       int64                `json:"samples"`
	Cells         int64                `json:"cells"`
	ExpectedHits  int64                `json:"expected_hits"`
	Bytes         int64                `json:"bytes"`
	Tables        []forecast.Table     `json:"tables"`
	Stages        []planStage          `json:"stages"`
	DurationS     float64              `json:"duration_s"`
	Bottleneck    string               `json:"bottleneck"`
	Changes       []planChange         `json:"changes"`
	Costs         []forecast.Cost      `json:"costs"`
	CostUSD       float64              `json:"cost_usd"`
	Prices        forecast.Prices      `json:"prices"`
	Assumptions   forecast.Assumptions `json:"assumptions"` // durations in nanoseconds
	MaxHoldS      float64              `json:"max_hold_s,omitempty"`
	BudgetProblem []string             `json:"over_budget,omitempty"`
}

type planStage struct {
	Stage     string  `json:"stage"`
	Calls     float64 `json:"calls"`
	DurationS float64 `json:"duration_s"`
	Limit     string  `json:"limit"`
}

// planChange is what warm-up would do to one resource, and undo.
type planChange struct {
	Resource  warmup.Resource `json:"resource"`
	From      warmup.Values   `json:"from,omitempty"`
	To        warmup.Values   `json:"to,omitempty"`
	Permanent bool            `json:"permanent,omitempty"`
	Notes     []string        `json:"notes,omitempty"`
	Problem   string          `json:"problem,omitempty"` // why it cannot be raised, or looked at
}

// Run is called by kong.
func (c *planCmd) Run(a *app) error {
	prices, err := c.prices()
	if err != nil {
		return err
	}
	if c.Records == recordsfile.Stdin {
		return usage("--records -: a plan is made for a file; give one")
	}
	job, err := a.loadJob(jobFlags{File: c.File, BadRecords: c.BadRecords}, c.Records, true)
	if err != nil {
		return err
	}
	defer job.close()
	if _, given := c.Price["on_demand_read_million"]; !given {
		prices.OnDemandReadMillion = job.expanded.Budget.USDPerMillionReadUnits
	}
	demand, bad, err := countDemand(a.soft, job)
	if err != nil {
		return err
	}
	assumptions := forecast.Assume(job.expanded)
	assumptions.DynamoDBCall, assumptions.FastRequest, assumptions.SlowRequest = c.DynamodbLatency, c.FastLatency, c.SlowLatency
	if c.HitRatio != nil {
		if !(*c.HitRatio >= 0 && *c.HitRatio <= 1) {
			return usage("--assume-hit-ratio %v: give a number from 0 to 1", *c.HitRatio)
		}
		assumptions.HitRatio = *c.HitRatio
	}
	assumptions.FetcherInstances = max(1, c.FetcherInstances)
	f := forecast.Make(demand, assumptions)
	var changes []planChange
	if !c.Offline {
		if changes, err = look(a.soft, job.expanded, f); err != nil {
			return err
		}
	}
	p := newPlan(job.expanded, f, changes, prices)
	p.BadRecords = bad
	if c.Output == "json" {
		return writeIndented(a.stdout, p)
	}
	_, err = fmt.Fprint(a.stdout, p.text())
	return err
}

func (c *planCmd) prices() (forecast.Prices, error) {
	p := forecast.DefaultPrices()
	names := map[string]*float64{
		"on_demand_read_million": &p.OnDemandReadMillion, "read_unit_hour": &p.ReadUnitHour,
		"write_unit_hour": &p.WriteUnitHour, "acu_hour": &p.ACUHour,
	}
	for name, value := range c.Price {
		dst, ok := names[name]
		if !ok || value < 0 {
			return p, usage("--price %s=%v: use %s, each at least 0", name, value, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
		}
		*dst = value
	}
	return p, nil
}

// countDemand goes through the records once.
func countDemand(ctx context.Context, j *job) (*forecast.Demand, int64, error) {
	r, err := j.opened.Read(j.options())
	if err != nil {
		return nil, 0, usage("records: %w", err)
	}
	defer r.Close()
	d, bad := forecast.NewDemand(j.expanded), int64(0)
	for row, err := range r.All() {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		if _, isBad := errors.AsType[*recordsfile.BadRecord](err); isBad {
			bad++
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("records: %w", err)
		}
		d.Add(row.Record.UserID, row.Record.EpochMS, row.Record.Families)
	}
	return d, bad, nil
}

// lookTimeout bounds a look at one resource.
const lookTimeout = 20 * time.Second

// look asks the backends that warm_up names what would be changed, and tells the forecast
// what the tables give.
func look(ctx context.Context, file *runfile.File, f *forecast.Forecast) ([]planChange, error) {
	wishes := backends.Wishes(file, f)
	if len(wishes) == 0 {
		return nil, nil
	}
	var at backends.Config
	if err := settings.Load(&at.Kubernetes); err != nil {
		return nil, err
	}
	all, err := backends.New(ctx, file.WarmUp, at)
	if err != nil {
		return nil, usage("%w", err)
	}
	var changes []planChange
	for _, w := range wishes {
		for _, b := range all {
			if b.Kind() != w.Kind {
				continue
			}
			call, cancel := context.WithTimeout(ctx, lookTimeout)
			c, err := b.Plan(call, w.Name, w.Want)
			cancel()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			change := planChange{Resource: w.Resource, From: c.From, To: c.To, Permanent: c.Permanent, Notes: c.Notes}
			if err != nil {
				change.Problem, change.To = err.Error(), c.From
			}
			changes = append(changes, change)
			if w.Kind == table.Kind {
				f.SetCapacity(w.Name, max(integer(change.To[table.ReadUnits]), integer(change.To[table.WarmReads])))
			}
		}
	}
	return changes, nil
}

func integer(v string) int64 {
	n, _ := strconv.ParseInt(v, 10, 64)
	return n
}

func newPlan(file *runfile.File, f *forecast.Forecast, changes []planChange, prices forecast.Prices) *Plan {
	p := &Plan{
		Run: file.Run, Records: f.Records, Samples: f.Samples, Cells: f.Cells, ExpectedHits: int64(f.Hits), Bytes: f.Bytes,
		Tables: f.Tables, DurationS: f.Duration.Seconds(), Bottleneck: f.Bottleneck, Changes: changes,
		Prices: prices, Assumptions: f.Assumptions,
	}
	for _, s := range f.Stages {
		p.Stages = append(p.Stages, planStage{s.Stage, s.Calls, s.Duration.Seconds(), s.Limit})
	}
	held := f.Duration
	if w := file.WarmUp; w != nil {
		held, p.MaxHoldS = min(held, w.MaxHold), w.MaxHold.Seconds()
	}
	p.Costs = costs(f, changes, held, prices)
	for _, c := range p.Costs {
		p.CostUSD += c.USD
	}
	p.BudgetProblem = overBudget(&file.Budget, f, p.CostUSD)
	return p
}

// costs are those of reading tables on demand and of what is raised; a table that was not
// looked at is taken for one on demand.
func costs(f *forecast.Forecast, changes []planChange, held time.Duration, prices forecast.Prices) []forecast.Cost {
	var all []forecast.Cost
	for i := range f.Tables {
		at := slices.IndexFunc(changes, func(c planChange) bool {
			return c.Resource == warmup.Resource{Kind: table.Kind, Name: f.Tables[i].Table}
		})
		if at < 0 || changes[at].From[table.ReadUnits] == "" {
			all = append(all, f.Tables[i].ReadCost(prices))
		}
	}
	for _, c := range changes {
		for _, unit := range []struct {
			setting, what string
			price         float64
		}{
			{table.ReadUnits, "read units", prices.ReadUnitHour},
			{table.WriteUnits, "write units", prices.WriteUnitHour},
			{database.MinACU, "capacity units", prices.ACUHour},
		} {
			from, _ := strconv.ParseFloat(c.From[unit.setting], 64)
			to, _ := strconv.ParseFloat(c.To[unit.setting], 64)
			if to > from {
				all = append(all, forecast.HoldCost(fmt.Sprintf("%v more %s of %s", to-from, unit.what, c.Resource), to-from, held, unit.price))
			}
		}
	}
	return all
}

func overBudget(b *runfile.Budget, f *forecast.Forecast, usd float64) []string {
	var over []string
	units := 0.0
	for _, t := range f.Tables {
		units += t.ReadUnits
	}
	if b.MaxDuration > 0 && f.Duration > b.MaxDuration {
		over = append(over, fmt.Sprintf("budget.max_duration is %v", b.MaxDuration))
	}
	if b.MaxReadUnits > 0 && units > float64(b.MaxReadUnits) {
		over = append(over, fmt.Sprintf("budget.max_read_units is %s", humanize.Comma(b.MaxReadUnits)))
	}
	if b.MaxCostUSD > 0 && usd > b.MaxCostUSD {
		over = append(over, fmt.Sprintf("budget.max_cost_usd is %v", b.MaxCostUSD))
	}
	return over
}
