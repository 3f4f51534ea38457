package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// writerConfig says what the client "writer" writes.
type writerConfig struct {
	DynamoDB, S3, Bucket string
	Samples              int
	Part                 int // samples of a part: a file a family
	AtOnce               int // files encoded and uploaded at the same time; 0 = one, and nothing is fetched meanwhile
}

// written is what the client says of it.
type written struct {
	Rows, Files, Bytes            int64
	Fetching, Encoding, Uploading float64 // seconds, of all that go on at the same time

	mu sync.Mutex
}

// writerClient is a baseline and no part of the system. It fetches a part through the
// pipeline's own stage, and encodes its files with the pipeline's own encoder. A
// synchronous writer uploads each before it encodes the next one, and fetches the next part
// when all are there; otherwise several are written at the same time, while the next
// part is fetched.
func writerClient(ctx context.Context, cfg writerConfig) (*written, error) {
	f, err := newFetcher(ctx, cfg.DynamoDB)
	if err != nil {
		return nil, err
	}
	said := &written{}
	store := newS3Client(cfg.S3)
	part := new(errgroup.Group)
	for first := 0; first < cfg.Samples; first += cfg.Part {
		begin := time.Now()
		n := min(cfg.Part, cfg.Samples-first)
		if err := f.fetch(ctx, &fetchConfig{First: first, Samples: n, Block: fullBlock, Families: families, AtOnce: blocksAtOnce}); err != nil {
			return nil, err
		}
		said.Fetching += time.Since(begin).Seconds()
		rows, err := rowsByFamily(f.messages())
		if err := errors.Join(err, part.Wait()); err != nil { // the part before
			return nil, err
		}
		part = new(errgroup.Group)
		part.Go(func() error {
			files, ctx := errgroup.WithContext(ctx)
			files.SetLimit(max(cfg.AtOnce, 1))
			for id, r := range rows {
				files.Go(func() error { return said.write(ctx, store, &cfg, id, first, r) })
			}
			return files.Wait()
		})
		if cfg.AtOnce == 0 {
			if err := part.Wait(); err != nil {
				return nil, err
			}
		}
	}
	return said, part.Wait()
}

// rowsByFamily decodes messages.
func rowsByFamily(messages [][]byte) (map[string]*dataset.FamilyRows, error) {
	rows := map[string]*dataset.FamilyRows{}
	for _, data := range messages {
		m := new(packed.Message)
		if err := packed.Decode(data, m); err != nil {
			return nil, err
		}
		for i := range m.Blocks {
			b := &m.Blocks[i]
			if rows[b.Family] == nil {
				rows[b.Family] = &dataset.FamilyRows{Run: "story"}
			}
			rows[b.Family].Add(m, b, nil)
		}
	}
	return rows, nil
}

// write encodes and uploads a file.
func (w *written) write(ctx context.Context, store *s3.Client, cfg *writerConfig, family string, first int, rows *dataset.FamilyRows) error {
	begin := time.Now()
	var file bytes.Buffer
	if _, _, err := dataset.WriteFamily(&file, runfile.Family{ID: family}, rows, nil); err != nil {
		return err
	}
	encoded := time.Now()
	_, err := store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &cfg.Bucket, Key: aws.String(fmt.Sprintf("baseline/features/family=%s/part-%07d.parquet", family, first)),
		Body: bytes.NewReader(file.Bytes()),
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Encoding += encoded.Sub(begin).Seconds()
	w.Uploading += time.Since(encoded).Seconds()
	w.Rows += int64(rows.Len())
	w.Files++
	w.Bytes += int64(file.Len())
	return err
}

func newS3Client(endpoint string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: s3Region,
		Credentials: credentials.NewStaticCredentialsProvider(s3Key, s3Secret, ""),
	})
}
