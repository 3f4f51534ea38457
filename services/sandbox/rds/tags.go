package rds

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const maxTags = 50 // of one resource

// tagText is what keys and values of tags may hold.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// tagsOf finds the tags of the resource that an ARN names.
func (s *Server) tagsOf(form url.Values) (map[string]string, error) {
	name := form.Get("ResourceName")
	switch {
	case strings.HasPrefix(name, "arn:aws:rds:") && strings.Contains(name, ":db:"):
		i, err := s.instance(name)
		if err != nil {
			return nil, err
		}
		return i.tags, nil
	case strings.HasPrefix(name, "arn:aws:rds:") && strings.Contains(name, ":cluster:"):
		c, err := s.cluster(name)
		if err != nil {
			return nil, err
		}
		return c.tags, nil
	}
	return nil, errorf(http.StatusBadRequest, "InvalidParameterValue", "Invalid resource name: %s", name)
}

func (s *Server) addTags(form url.Values) (any, error) {
	if err := check(form, "ResourceName", "Tags"); err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(form)
	if err != nil {
		return nil, err
	}
	after := maps.Clone(tags)
	for n := 1; form.Has(fmt.Sprintf("Tags.Tag.%d.Key", n)); n++ {
		key, value := form.Get(fmt.Sprintf("Tags.Tag.%d.Key", n)), form.Get(fmt.Sprintf("Tags.Tag.%d.Value", n))
		if key == "" || len(key) > 128 || len(value) > 256 || strings.HasPrefix(key, "aws:") || !tagText.MatchString(key+value) {
			return nil, errorf(http.StatusBadRequest, "InvalidParameterValue", "tag %q: a key has 1 to 128 characters and does not begin with aws:, a value has at most 256, of letters, digits, spaces and _.:/=+-@", key)
		}
		after[key] = value
	}
	if len(after) > maxTags {
		return nil, errorf(http.StatusBadRequest, "InvalidParameterValue", "a resource takes at most %d tags", maxTags)
	}
	maps.Copy(tags, after)
	return struct{}{}, nil
}

func (s *Server) removeTags(form url.Values) (any, error) {
	if err := check(form, "ResourceName", "TagKeys"); err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(form)
	if err != nil {
		return nil, err
	}
	for n := 1; form.Has(fmt.Sprintf("TagKeys.member.%d", n)); n++ {
		delete(tags, form.Get(fmt.Sprintf("TagKeys.member.%d", n)))
	}
	return struct{}{}, nil
}

type tagXML struct{ Key, Value string }

func (s *Server) listTags(form url.Values) (any, error) {
	if err := check(form, "ResourceName"); err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(form)
	if err != nil {
		return nil, err
	}
	var list []tagXML
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tagXML{k, tags[k]})
	}
	return struct {
		TagList []tagXML `xml:"TagList>Tag"`
	}{list}, nil
}
