package s3store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// sweepers is how many uploads are aborted, and files removed, at the same time.
const sweepers = 8

// sweep aborts the uploads of areas without a marker, also those whose removal was
// interrupted. Records and uploads are listed before the markers: both are made when the
// marker is there, so one without a marker is of an area that has ended.
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
	uploads, err := s.uploads(ctx, s.root)
	if err != nil {
		return err
	}
	if len(records)+len(uploads) == 0 {
		return nil
	}
	areas, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sweepers)
	for _, u := range uploads {
		if s.stray(u.key, areas) {
			g.Go(func() error { return s.abort(ctx, u.key, u.id) })
		}
	}
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

// Unstage aborts the uploads of a part.
func (s *Store) Unstage(ctx context.Context, epoch uint64, token, part string) error {
	if err := errors.Join(ctx.Err(), dataset.CheckName("token of an epoch", token), dataset.CheckName("part", part)); err != nil {
		return err
	}
	area := dataset.StagingName(epoch, token)
	for o, err := range s.list(ctx, uploadsDir+"/"+area+"/"+part) {
		if err != nil {
			return err
		}
		if err := s.sweepFile(ctx, area, part+"/"+o.path); err != nil {
			return err
		}
	}
	return nil
}

// stray tells whether an upload of a key is left over, though no record may lead to it: the
// answer to a request that made it was lost, and the file is there by another one; or who
// wrote a file beside features/ was killed. The leader sweeps, and it alone writes those.
func (s *Store) stray(key string, areas []string) bool {
	path := strings.TrimPrefix(key, s.root)
	if !strings.HasPrefix(path, dataset.FeaturesDir+"/") {
		return dataset.CheckMetaName(path) == nil
	}
	name := strings.TrimPrefix(path[strings.LastIndexByte(path, '/')+1:], "part-")
	epoch, _, err := dataset.ParseIndexName(name)
	return err == nil && !slices.ContainsFunc(areas, func(area string) bool {
		begun, _, err := dataset.ParseStagingName(area)
		return err == nil && begun == epoch
	})
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
	uploads, err := s.uploads(ctx, key)
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if u.key != key {
			continue
		}
		if err := s.abort(ctx, key, u.id); err != nil {
			return err
		}
	}
	return nil
}

// uploadOf is an upload that is neither completed nor aborted.
type uploadOf struct{ key, id string }

// uploads gives the uploads whose keys begin with a prefix. Some servers list those of a whole
// key alone, and none for what is less.
func (s *Store) uploads(ctx context.Context, prefix string) (all []uploadOf, err error) {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.explain(prefix, err)
		}
		for _, u := range page.Uploads {
			all = append(all, uploadOf{aws.ToString(u.Key), aws.ToString(u.UploadId)})
		}
	}
	return all, nil
}
