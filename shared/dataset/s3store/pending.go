package s3store

import (
	"context"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// PutWriter is Put for large content.
func (s *Store) PutWriter(ctx context.Context, name string) (dataset.PendingFile, error) {
	key, err := s.meta(ctx, name)
	if err != nil {
		return nil, err
	}
	return &pending{upload: s.newUpload(ctx, key), ctx: ctx}, nil
}

// pending is a file that is being written.
type pending struct {
	*upload
	ctx  context.Context
	done bool
}

// Commit makes the file appear.
func (p *pending) Commit() error {
	if p.id == "" { // it is small
		if err := p.s.put(p.ctx, p.key, p.buffer.Bytes(), nil); err != nil {
			return err
		}
		p.done = true
		return nil
	}
	if err := p.finish(); err != nil {
		return err
	}
	if err := p.s.complete(p.ctx, p.key, p.id, -1); err != nil {
		return err
	}
	p.done = true
	return nil
}

// Close drops the file unless it was committed.
func (p *pending) Close() error {
	if p.buffer == nil {
		return nil
	}
	p.drop()
	if p.done || p.id == "" {
		return nil
	}
	return p.s.abort(p.ctx, p.key, p.id)
}
