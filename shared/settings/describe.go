package settings

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Group is a titled struct of settings: those of one service, or those in common.
type Group struct {
	Title string
	Spec  any // pointer to a struct; Load was called or not
}

// Setting is one setting as data.
type Setting struct {
	Group       string `json:"group"`
	Variable    string `json:"variable"`
	Type        string `json:"type"` // string, file, bool, integer, number, size, duration
	Unit        string `json:"unit,omitempty"`
	Default     string `json:"default"`
	Allowed     string `json:"allowed,omitempty"` // values or bounds
	Description string `json:"description"`
	Value       string `json:"value"` // what the environment gives it, or the default
	Set         bool   `json:"set"`   // in the environment
}

// Describe lists the settings of the groups in order. A variable that several groups
// share is listed with the first of them.
func Describe(groups ...Group) ([]Setting, error) {
	var out []Setting
	seen := map[string]bool{}
	for _, g := range groups {
		fields, err := fieldsOf(g.Spec)
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if seen[f.name()] {
				continue
			}
			seen[f.name()] = true
			out = append(out, f.describe(g.Title))
		}
	}
	return out, nil
}

func (f *field) describe(group string) Setting {
	s := Setting{
		Group: group, Variable: f.name(), Type: f.kind(), Unit: f.tag.Get("unit"),
		Default: f.tag.Get("default"), Description: f.tag.Get("desc"),
		Allowed: strings.ReplaceAll(f.tag.Get("oneof"), "|", ", "),
	}
	if s.Allowed == "" {
		s.Allowed = strings.TrimSpace(f.bounds())
	}
	s.Value, s.Set = os.LookupEnv(s.Variable)
	if !s.Set {
		s.Value = s.Default
	}
	return s
}

// Unknown gives the variables of an environment that begin with prefix and that no
// group knows, sorted: most often a slip of the pen. environ is what os.Environ gives.
func Unknown(environ []string, prefix string, groups ...Group) ([]string, error) {
	known, err := Describe(groups...)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, prefix) && !slices.ContainsFunc(known, func(s Setting) bool { return s.Variable == name }) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out, nil
}

// WriteMarkdown writes the reference of all settings: a table for each group.
func WriteMarkdown(w io.Writer, groups ...Group) error {
	all, err := Describe(groups...)
	if err != nil {
		return err
	}
	var b strings.Builder
	group := ""
	for _, s := range all {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n## %s\n\n| variable | type | default | what it is for |\n|---|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Variable, markdownType(s), code(s.Default), s.Description)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func markdownType(s Setting) string {
	parts := []string{s.Type}
	if s.Unit != "" {
		parts = append(parts, s.Unit)
	}
	if s.Allowed != "" {
		parts = append(parts, s.Allowed)
	}
	return strings.Join(parts, ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
