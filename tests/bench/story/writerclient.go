package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// writerConfig says what the client "writer" writes.
type writerConfig struct {
	DynamoDB, S3, Bucket string
	Samples              int
	Part                 int // samples of a part: a file a family
}

// written is what the client says of it.
type written struct {
	Rows, Files, Bytes            int64
	Fetching, Encoding, Uploading float64 // seconds
}

// writerClient is a baseline and no part of the system: the way of a synchronous writer. It
// fetches a part, through the pipeline's own stage, then encodes a file with the
// pipeline's own encoder and uploads it, file after file, and fetches the next part.
func writerClient(ctx context.Context, cfg writerConfig) (*written, error) {
	f, err := newFetcher(ctx, cfg.DynamoDB)
	if err != nil {
		return nil, err
	}
	said := &written{}
	store := newS3Client(cfg.S3)
	for first := 0; first < cfg.Samples; first += cfg.Part {
		begin := time.Now()
		n := min(cfg.Part, cfg.Samples-first)
		if err := f.fetch(ctx, &fetchConfig{First: first, Samples: n, Block: fullBlock, Families: families, AtOnce: blocksAtOnce}); err != nil {
			return nil, err
		}
		said.Fetching += time.Since(begin).Seconds()
		rows, err := rowsByFamily(f.messages())
		if err != nil {
			return nil, err
		}
		for id, r := range rows {
			if err := said.write(ctx, store, &cfg, id, first, r); err != nil {
				return nil, err
			}
		}
	}
	return said, nil
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
	w.Encoding += time.Since(begin).Seconds()
	begin = time.Now()
	_, err := store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &cfg.Bucket, Key: aws.String(fmt.Sprintf("synchronous/features/family=%s/part-%07d.parquet", family, first)),
		Body: bytes.NewReader(file.Bytes()),
	})
	w.Uploading += time.Since(begin).Seconds()
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
