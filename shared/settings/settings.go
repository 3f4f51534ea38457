// Package settings reads the settings of a process from its environment, checks them
// before anything connects, and gives them as data, so that `fff config` and
// docs/settings.md say what the code says.
//
// A group of settings is a struct. Each field carries its whole story in tags:
//
//	envconfig  name of the environment variable
//	default    value when it is not set
//	desc       what it is for, one sentence
//	unit       unit of a plain number
//	min, max   bounds of a number, a size or a duration
//	oneof      the values allowed, separated by |
//	file       "true": the value names a file that can be read
//
// Fields are strings, bools, integers, floats, [time.Duration] or [Bytes]. Embedded
// structs are part of the group. A group, or a struct embedded in it, may have a method
// Validate() error for what tags cannot say; it should return an [*Error].
package settings

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/kelseyhightower/envconfig"
)

// Error is a setting that cannot be used: which variable, what is wrong, what to do.
type Error struct {
	Variable string
	Value    string
	Problem  string
	Remedy   string
}

// Error gives one line for people.
func (e *Error) Error() string {
	return fmt.Sprintf("%s=%q: %s; %s", e.Variable, e.Value, e.Problem, e.Remedy)
}

// Load fills spec, a pointer to a struct of settings, from the environment and checks
// it. Every setting that is wrong is named in the one error; each is an [*Error].
func Load(spec any) error {
	fields, err := fieldsOf(spec)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range fields {
		errs = append(errs, f.load())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(validate(reflect.ValueOf(spec).Elem())...)
}

// validate calls the Validate methods of a group and of what it embeds. A method that
// is promoted from an embedded struct is called twice and says the same twice.
func validate(group reflect.Value) []error {
	var errs []error
	for i := range group.NumField() {
		if group.Type().Field(i).Anonymous && group.Field(i).Kind() == reflect.Struct {
			errs = append(errs, validate(group.Field(i))...)
		}
	}
	if !group.CanInterface() { // embedded by an unexported name; the outer struct answers for it
		return errs
	}
	v, ok := group.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return errs
	}
	err := v.Validate()
	if err == nil || slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
		return errs
	}
	return append(errs, err)
}

// load reads one setting from the environment and checks it. Settings go through
// envconfig one by one, because it stops at the first that it cannot read and people
// want to hear of all of them.
func (f *field) load() error {
	text, set := os.LookupEnv(f.name())
	if err := f.parse("", f.tag); err != nil {
		return &Error{f.name(), text, "not " + f.article(), f.remedy()}
	}
	if problem := f.problem(); problem != "" {
		if !set {
			text = f.tag.Get("default")
		}
		return &Error{f.name(), text, problem, f.remedy()}
	}
	return nil
}

func (f *field) parse(prefix string, tag reflect.StructTag) error {
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: f.value.Type(), Tag: tag}}))
	if err := envconfig.Process(prefix, one.Interface()); err != nil {
		return err
	}
	f.value.Set(one.Elem().Field(0))
	return nil
}

// Defaults fills spec with the defaults of its tags, whatever the environment says: for
// tests and for programs that hold several services.
func Defaults(spec any) error {
	fields, err := fieldsOf(spec)
	if err != nil {
		return err
	}
	for _, f := range fields {
		tag := reflect.StructTag(fmt.Sprintf("default:%q", f.tag.Get("default")))
		if err := f.parse("fff no such variable", tag); err != nil {
			return fmt.Errorf("settings: default of %s: %w", f.name(), err)
		}
	}
	return nil
}
