package destination

import (
	"context"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/dataset/s3store"
	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// Existing opens the dataset of one run, to read it, where a person says that it is: in a
// directory, or at s3://bucket/prefix/run. Nothing is made. Whether there is a dataset in S3
// shows when it is read.
func Existing(ctx context.Context, place string) (dataset.Readable, error) {
	if !s3url.Is(place) {
		return dataset.DiskOf(place)
	}
	at, err := s3url.Parse(place)
	if err != nil {
		return nil, err
	}
	if at.Key == "" {
		return nil, fmt.Errorf("%s is a whole bucket, and no dataset", place)
	}
	client, err := awss3.New(ctx)
	if err != nil {
		return nil, err
	}
	return s3store.New(client, at.Bucket, at.Key), nil
}
