package main

import (
	"context"
	"fmt"
)

// partSamples are the samples of a part of the baselines. The writer gathers 64 MiB of packed cells, some 2,600.
const partSamples = 1_000

// filesAtOnce is how many files the writer stages in S3 at the same time.
const filesAtOnce = 8

// measureWriter compares a synchronous writer with one whose uploads overlap.
func measureWriter(ctx context.Context, p *programs, tries int) (*table, error) {
	const samples = 3 * partSamples
	t := &table{
		Key: "d", Title: "The writer: synchronous against overlapped with the upload",
		Text: fmt.Sprintf("All cells are in DynamoDB and go to a real S3 server (versitygw) as Parquet. A proxy before it holds an upload of a file, or of a part of one, for %v, and any other request for %v. Time is that of the whole process, fetching included.", uploadLatency, smallLatency),
		Columns: []column{
			{"samples", "samples", "%.0f"}, {"uploads", "uploads", "%.0f"}, {"others", "other S3 requests", "%.0f"}, {"mib", "MiB uploaded", "%.0f"}, {"wall", "seconds", "%.1f"},
			{"fetching", "of these fetching", "%.1f"}, {"encoding", "encoding", "%.1f"}, {"uploading", "uploading", "%.1f"}, {"rate", "rows/s", "%.0f"}, {"cpu", "CPU-s per 1M rows", "%.1f"}, {"peak", "peak MiB", "%.0f"},
		},
		Ratio: "rate",
		Rows: []row{
			{Name: "synchronous (baseline)", Text: fmt.Sprintf("written for this table from the pipeline's own fetching stage and encoder, without broker, commit and proof: a part of %d samples is fetched, then file after file is encoded and uploaded, then the next part is fetched.", partSamples)},
			{Name: "overlapped (baseline)", Text: fmt.Sprintf("the same process, but %d files are encoded and uploaded at the same time, while the next part is fetched: what the pipeline's writer does. The difference to the first row is the decision alone.", filesAtOnce)},
			{Name: "fff run, to S3", Text: "the whole system, all-in-one, with its broker that syncs each message, multipart uploads that are completed after the commit, and the proof."},
			{Name: "fff run, to disk", Text: "the same without S3: what S3 costs the system is the difference."},
		},
	}
	for range tries {
		for i := range t.Rows {
			f, err := p.writeOnce(ctx, i, samples)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Rows[i].Name, err)
			}
			t.add(i, f)
		}
	}
	return t, nil
}

// writeOnce measures a row of the table.
func (p *programs) writeOnce(ctx context.Context, row, samples int) (figures, error) {
	b, err := startBackends(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer b.finish()
	store, err := p.startS3(ctx)
	if err != nil {
		return nil, err
	}
	defer store.stop()
	var u *usage
	var f figures
	if row < 2 {
		var said written
		cfg := &writerConfig{DynamoDB: b.at.DynamoDB, S3: store.url, Bucket: s3Bucket, Samples: samples, Part: partSamples, AtOnce: row * filesAtOnce}
		if u, err = client(ctx, "writer", cfg, &said); err != nil {
			return nil, err
		}
		if said.Rows != int64(samples*families) {
			return nil, fmt.Errorf("%d rows, want %d", said.Rows, samples*families)
		}
		f = u.figures(samples)
		f["fetching"], f["encoding"], f["uploading"] = said.Fetching, said.Encoding, said.Uploading
	} else {
		file := &runFile{cached: true, url: b.at.FeatureService, fast: limits(1, fastTimeout), slow: limits(1, slowTimeout)}
		if row == 2 {
			file.s3 = s3Bucket
		}
		j, err := p.newJob(file, samples)
		if err != nil {
			return nil, err
		}
		defer j.remove()
		if u, err = p.fff(ctx, j, append(b.env(), "AWS_ENDPOINT_URL_S3="+store.url)); err != nil {
			return nil, err
		}
		f = u.figures(samples)
	}
	if row < 3 {
		f["uploads"], f["others"], f["mib"] = float64(store.uploads.Load()), float64(store.others.Load()), float64(store.bytes.Load())/(1<<20)
	}
	return f, nil
}
