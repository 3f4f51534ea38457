package main

import (
	"context"
	"fmt"
)

// partSamples is about what the writer gathers for a part: 64 MiB of packed cells.
const partSamples = 2_500

// measureWriter compares a synchronous writer with one whose uploads overlap.
func measureWriter(ctx context.Context, p *programs, tries int) (*table, error) {
	const samples = 2 * partSamples
	t := &table{
		Key: "d", Title: "The writer: synchronous against overlapped with the upload",
		Text: fmt.Sprintf("All cells are in DynamoDB and go to a real S3 server (versitygw) as Parquet. A proxy before it holds an upload of a file, or of a part of one, for %v, and any other request for %v. Time is that of the whole process, fetching included.", uploadLatency, smallLatency),
		Columns: []column{
			{"samples", "samples", "%.0f"}, {"uploads", "uploads", "%.0f"}, {"others", "other S3 requests", "%.0f"}, {"mib", "MiB uploaded", "%.0f"}, {"wall", "seconds", "%.1f"},
			{"fetching", "of these fetching", "%.1f"}, {"encoding", "encoding", "%.1f"}, {"uploading", "uploading", "%.1f"}, {"rate", "rows/s", "%.0f"}, {"cpu", "CPU-s per 1M rows", "%.1f"}, {"peak", "peak MiB", "%.0f"},
		},
		Ratio: "rate",
		Rows: []row{
			{Name: "synchronous (baseline)", Text: fmt.Sprintf("written for this table from the pipeline's own fetching stage and encoder: a part of %d samples is fetched, then file after file is encoded and put, then the next part is fetched. It has no broker, no commit and no proof.", partSamples)},
			{Name: "fff run, to S3", Text: "the whole system, all-in-one: fetching, encoding and multipart uploads, eight files at the same time, overlap; uploads are completed after the commit."},
			{Name: "fff run, to disk", Text: "the same without S3: what S3 costs is the difference."},
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
	if row == 0 {
		var said written
		if u, err = client(ctx, "writer", &writerConfig{b.at.DynamoDB, store.url, s3Bucket, samples, partSamples}, &said); err != nil {
			return nil, err
		}
		if said.Rows != int64(samples*families) {
			return nil, fmt.Errorf("%d rows, want %d", said.Rows, samples*families)
		}
		f = u.figures(samples)
		f["fetching"], f["encoding"], f["uploading"] = said.Fetching, said.Encoding, said.Uploading
	} else {
		file := &runFile{cached: true, url: b.at.FeatureService, fast: limits(1, fastTimeout), slow: limits(1, slowTimeout)}
		if row == 1 {
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
	if row < 2 {
		f["uploads"], f["others"], f["mib"] = float64(store.uploads.Load()), float64(store.others.Load()), float64(store.bytes.Load())/(1<<20)
	}
	return f, nil
}
