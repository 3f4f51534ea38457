package settings

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one setting: where its value is, and its tags.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fieldsOf lists the settings of a group in the order of its fields, embedded structs
// included.
func fieldsOf(spec any) ([]field, error) {
	v := reflect.ValueOf(spec)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("settings: %T is no pointer to a struct", spec)
	}
	return appendFields(nil, v.Elem())
}

func appendFields(fields []field, group reflect.Value) ([]field, error) {
	for i := range group.NumField() {
		sf := group.Type().Field(i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			var err error
			if fields, err = appendFields(fields, group.Field(i)); err != nil {
				return nil, err
			}
			continue
		}
		if !sf.IsExported() || sf.Tag.Get("ignored") == "true" {
			continue
		}
		if sf.Tag.Get("envconfig") == "" || sf.Tag.Get("desc") == "" {
			return nil, fmt.Errorf("settings: %s.%s has no envconfig or no desc tag", group.Type(), sf.Name)
		}
		fields = append(fields, field{value: group.Field(i), tag: sf.Tag})
	}
	return fields, nil
}

func (f *field) name() string { return f.tag.Get("envconfig") }

var (
	bytesType    = reflect.TypeFor[Bytes]()
	durationType = reflect.TypeFor[time.Duration]()
)

// kind names the type of the setting for people.
func (f *field) kind() string {
	switch t := f.value.Type(); {
	case t == bytesType:
		return "size"
	case t == durationType:
		return "duration"
	case f.value.CanInt(), f.value.CanUint():
		return "integer"
	case f.value.CanFloat():
		return "number"
	case f.value.Kind() == reflect.Bool:
		return "bool"
	case f.tag.Get("file") == "true":
		return "file"
	}
	return "string"
}

func (f *field) article() string {
	if f.kind() == "integer" {
		return "an integer"
	}
	return "a " + f.kind()
}

// text gives the value as it would be written in the environment.
func (f *field) text() string {
	if s, ok := f.value.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprint(f.value.Interface())
}

// problem says what is wrong with the value that the field holds, "" if nothing is.
func (f *field) problem() string {
	if allowed := f.tag.Get("oneof"); allowed != "" {
		for one := range strings.SplitSeq(allowed, "|") {
			if f.text() == one {
				return ""
			}
		}
		return "unknown value"
	}
	if f.tag.Get("file") == "true" && f.text() != "" {
		return unreadable(f.text())
	}
	if low := f.tag.Get("min"); low != "" && f.number() < f.parseBound(low) {
		return "too small"
	}
	if high := f.tag.Get("max"); high != "" && f.number() > f.parseBound(high) {
		return "too large"
	}
	return ""
}

func unreadable(name string) string {
	file, err := os.Open(name)
	if err != nil {
		return "cannot be read (" + rootCause(err) + ")"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return "is a directory"
	}
	return ""
}

func rootCause(err error) string {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

func (f *field) number() float64 {
	switch {
	case f.value.CanInt():
		return float64(f.value.Int())
	case f.value.CanUint():
		return float64(f.value.Uint())
	case f.value.CanFloat():
		return f.value.Float()
	}
	return 0
}

// parseBound reads a min or max tag in the terms of the field's type.
func (f *field) parseBound(tag string) float64 {
	switch f.value.Type() {
	case bytesType:
		b, _ := ParseBytes(tag)
		return float64(b)
	case durationType:
		d, _ := time.ParseDuration(tag)
		return float64(d)
	}
	n, _ := strconv.ParseFloat(tag, 64)
	return n
}

// remedy says what to give instead.
func (f *field) remedy() string {
	switch {
	case f.tag.Get("oneof") != "":
		return "use one of " + strings.ReplaceAll(f.tag.Get("oneof"), "|", ", ")
	case f.kind() == "file":
		return "name a file that this process can read, or unset it"
	case f.kind() == "string":
		return "see `fff config`"
	}
	return "give " + f.article() + f.example() + f.bounds()
}

func (f *field) example() string {
	switch f.kind() {
	case "size":
		return " such as 64MiB"
	case "duration":
		return " such as 30s or 5m"
	case "bool":
		return ": true or false"
	}
	return ""
}

func (f *field) bounds() string {
	low, high := f.tag.Get("min"), f.tag.Get("max")
	switch {
	case low != "" && high != "":
		return " from " + low + " to " + high
	case low != "":
		return " of at least " + low
	case high != "":
		return " of at most " + high
	}
	return ""
}
