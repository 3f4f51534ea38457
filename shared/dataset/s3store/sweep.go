package s3store

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// sweepers is how many uploads are aborted at the same time.
const sweepers = 8

// sweep aborts the uploads of areas without a marker, also those whose removal was
// interrupted. The records are listed before the markers: a record is made when the marker is
// there, so one without a marker is of an area that has ended.
func (s *Store) sweep(ctx context.Context) error {
	records := map[string][]string{} // by area, paths from there on
	for o, err := range s.list(ctx, uploadsDir) {
		if err != nil {
			return err
		}
		if area, file, ok := strings.Cut(o.path, "/"); ok {
			records[area] = append(records[area], file)
		}
	}
	if len(records) == 0 {
		return nil
	}
	areas, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sweepers)
	for area, files := range records {
		if slices.Contains(areas, area) {
			continue
		}
		for _, file := range files {
			g.Go(func() error { return s.sweepFile(ctx, area, file) })
		}
	}
	return g.Wait()
}

// sweepFile aborts the uploads that a record leads to, then removes the record.
func (s *Store) sweepFile(ctx context.Context, area, file string) error {
	if _, visible, ok := strings.Cut(file, "/"); ok { // behind the part
		if err := s.abortAll(ctx, s.root+dataset.FeaturesDir+"/"+visible); err != nil {
			return err
		}
	}
	return s.remove(ctx, s.root+uploadsDir+"/"+area+"/"+file)
}

// abortAll aborts every upload of a key. There is more than one only where the answer to a
// request that made one was lost.
func (s *Store) abortAll(ctx context.Context, key string) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.explain(key, err)
		}
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != key {
				continue
			}
			if err := s.abort(ctx, key, aws.ToString(u.UploadId)); err != nil {
				return err
			}
		}
	}
	return nil
}
