package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a job is taken to need on the disk, for each sample: its dataset is some 20 KB, and
// as much again is for what is staged and for the broker's store.
const diskPerSample = 40 << 10

// Jobs of up to so many samples are run in each of the rounds, before and after those that
// are larger and are run once: the machine's speed changes while a large one runs.
const (
	repeatedSamples = 100_000
	sizeRounds      = 3
)

// Small runs are of so many samples, and so many of them are run.
const (
	smallSamples = 100
	smallRuns    = 5
)

// scaleReport is what jobs of several sizes take.
type scaleReport struct {
	Machine string       `json:"machine"`
	Speed   speeds       `json:"speed"`
	Small   []float64    `json:"small_run_seconds"` // from the start of the process to its end, sorted
	Sizes   []sizeResult `json:"sizes"`
}

// sizeResult is what a job of one size takes; of several it is the one of median cost.
type sizeResult struct {
	result
	Jobs        int     `json:"jobs"`
	IndexBytes  int64   `json:"index_bytes"`
	OutputBytes int64   `json:"output_bytes"`
	Files       int     `json:"files"`
	Verify      usage   `json:"verify"`
	VerifyWall  float64 `json:"verify_seconds"`
	Memory      []int64 `json:"memory_bytes"` // of the process, resident, each second
}

// scale measures jobs of several sizes.
func (p *programs) scale(ctx context.Context, o *options) error {
	sizes, err := parseSizes(o.sizes)
	if err != nil {
		return err
	}
	if err := room(slices.Max(sizes)); err != nil {
		return err
	}
	rep := scaleReport{Machine: machine()}
	job := scenarios[0]
	for range smallRuns {
		r, err := p.measure(ctx, job, smallSamples)
		if err != nil {
			return fmt.Errorf("%d samples: %w", smallSamples, err)
		}
		rep.Small = append(rep.Small, r.Wall)
	}
	slices.Sort(rep.Small)
	if err := p.rounds(ctx, &rep, job, sizes); err != nil {
		return err
	}
	rep.compute()
	fmt.Print("\n", rep.markdown())
	if o.out == "" {
		return nil
	}
	return rep.write(o.out)
}

// rounds measures the sizes, and the machine's speed between them.
func (p *programs) rounds(ctx context.Context, rep *scaleReport, job scenario, sizes []int) error {
	if err := rep.Speed.measure(ctx); err != nil {
		return err
	}
	jobs := make([][]sizeResult, len(sizes))
	for round := range sizeRounds {
		for i, n := range sizes {
			if round > 0 && n > repeatedSamples {
				continue
			}
			x, err := p.size(ctx, job, n)
			if err != nil {
				return fmt.Errorf("%d samples: %w", n, err)
			}
			if err := rep.Speed.measure(ctx); err != nil {
				return err
			}
			jobs[i] = append(jobs[i], *x)
			fmt.Fprintf(os.Stderr, "%9d samples %8.0f families/s  %6.1f CPU-s per 1M families  peak %s  index %.1f MB per 1M samples\n", n, x.PerSecond, x.CPUPerMillion, mebibytes(x.peak()), x.indexPerMillion())
		}
	}
	for _, of := range jobs {
		x := median(of)
		x.Jobs = len(of)
		rep.Sizes = append(rep.Sizes, x)
	}
	return nil
}

// compute sets the speed factor of all sizes.
func (r *scaleReport) compute() {
	factor := r.Speed.factor()
	for i := range r.Sizes {
		r.Sizes[i].Factor = factor
	}
}

func parseSizes(list string) (sizes []int, err error) {
	for one := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(one))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-sizes: %q is no number of samples", one)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

// room says what the largest job takes, and fails when the disk has less.
func room(samples int) error {
	need := int64(samples) * diskPerSample
	var s syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &s); err != nil {
		return fmt.Errorf("%s: %w", os.TempDir(), err)
	}
	free := int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // not everywhere an int64
	fmt.Fprintf(os.Stderr, "%d samples take up to %.1f GB below %s, which has %.1f GB, and some %v at 50,000 families/s, to verify them aside\n",
		samples, float64(need)/1e9, os.TempDir(), float64(free)/1e9, time.Duration(samples)*families*time.Second/50_000)
	if free < need {
		return errors.New("the disk is too full for that; set TMPDIR to a directory with more room, or -sizes to smaller ones")
	}
	return nil
}

// size runs a job of a size, and verifies what it wrote.
func (p *programs) size(ctx context.Context, job scenario, samples int) (*sizeResult, error) {
	x := &sizeResult{}
	var watched chan []int64
	r, err := p.try(ctx, job, samples, &trial{
		during: func(q *process) { watched = watch(q.cmd.Process.Pid, q.gone) },
		after:  func(out *output) error { return x.look(ctx, p, out) },
	})
	if watched != nil {
		x.Memory = <-watched
	}
	if err != nil {
		return nil, err
	}
	x.result = *r
	return x, nil
}

// look measures a dataset, and what it takes to verify it.
func (x *sizeResult) look(ctx context.Context, p *programs, out *output) error {
	var err, err2 error
	x.OutputBytes, x.Files, err = filesBelow(filepath.Join(out.dataset, "features"))
	x.IndexBytes, _, err2 = filesBelow(filepath.Join(out.dataset, "_commits"))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	begin := time.Now()
	q, err := p.start("fff", io.Discard, nil, "verify", out.dataset, "--records", out.records)
	if err != nil {
		return err
	}
	x.Verify, err = q.wait(ctx)
	x.VerifyWall = time.Since(begin).Seconds()
	return err
}

// filesBelow counts the files of a directory and their bytes.
func filesBelow(dir string) (bytes int64, files int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes, files = bytes+info.Size(), files+1
		}
		return err
	})
	return bytes, files, err
}

// watch gives the resident memory of a process each second until it is gone.
func watch(pid int, gone <-chan struct{}) chan []int64 {
	all := make(chan []int64, 1)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var list []int64
		for {
			select {
			case <-gone:
				all <- list
				return
			case <-tick.C:
				if n := resident(pid); n > 0 {
					list = append(list, n)
				}
			}
		}
	}()
	return all
}

// resident asks the system for the memory of a process; 0 when it does not tell.
func resident(pid int) int64 {
	var kib int64
	if _, err := fmt.Sscan(firstLine("ps", "-o", "rss=", "-p", strconv.Itoa(pid)), &kib); err != nil {
		return 0
	}
	return kib << 10
}

// indexPerMillion gives the completion index in MB per million samples.
func (x *sizeResult) indexPerMillion() float64 {
	return float64(x.IndexBytes) / float64(x.Samples)
}

// spread gives how far the costs of the sizes are apart: the most against the least.
func (r *scaleReport) spread(cost func(*sizeResult) float64) float64 {
	by := func(a, b sizeResult) int { return cmp.Compare(cost(&a), cost(&b)) }
	least, most := slices.MinFunc(r.Sizes, by), slices.MaxFunc(r.Sizes, by)
	return cost(&most)/cost(&least) - 1
}
