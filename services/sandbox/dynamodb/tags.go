package dynamodb

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

const maxTags = 50 // of one table

type tag struct{ Key, Value string }

type tagResourceInput struct {
	ResourceArn string
	Tags        []tag
}

type untagResourceInput struct {
	ResourceArn string
	TagKeys     []string
}

type listTagsInput struct {
	ResourceArn string
	NextToken   string // never given out: 50 tags fit one page
}

type (
	listTagsOutput struct{ Tags []tag }
	nothing        struct{}
)

// tableOfARN finds the table that an ARN names.
func (s *Server) tableOfARN(resource string) (*table, error) {
	if nameOf(resource) == resource {
		return nil, invalid("Invalid TableArn: %q is no ARN of a table", resource)
	}
	t, err := s.table(resource)
	if err != nil {
		return nil, errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found: ResourceArn: %s not found", resource)
	}
	return t, nil
}

func (s *Server) tagResource(in *tagResourceInput) (*nothing, error) {
	t, err := s.tableOfARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &nothing{}, t.addTags(in.Tags)
}

func (s *Server) untagResource(in *untagResourceInput) (*nothing, error) {
	t, err := s.tableOfARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range in.TagKeys {
		delete(t.tags, k)
	}
	return &nothing{}, nil
}

func (s *Server) listTagsOfResource(in *listTagsInput) (*listTagsOutput, error) {
	t, err := s.tableOfARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := &listTagsOutput{Tags: []tag{}}
	for _, k := range slices.Sorted(maps.Keys(t.tags)) {
		out.Tags = append(out.Tags, tag{k, t.tags[k]})
	}
	return out, nil
}

// addTags adds all tags or none.
func (t *table) addTags(tags []tag) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	after := maps.Clone(t.tags)
	for _, one := range tags {
		if n := len([]rune(one.Key)); n == 0 || n > 128 || len([]rune(one.Value)) > 256 || strings.HasPrefix(one.Key, "aws:") {
			return invalid("tag %q: a key has 1 to 128 characters and does not begin with aws:, a value has at most 256", one.Key)
		}
		after[one.Key] = one.Value
	}
	if len(after) > maxTags {
		return errorf(http.StatusBadRequest, "LimitExceededException", "Subscriber limit exceeded: a table takes at most %d tags", maxTags)
	}
	t.tags = after
	return nil
}
