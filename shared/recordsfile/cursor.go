package recordsfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/fastfeaturefetch/fff/shared/record"
)

// columnUse says what a column is read as.
type columnUse uint8

const (
	userColumn      columnUse = iota // text or integers
	timeColumn                       // timestamps, text or integers of epoch milliseconds
	listColumn                       // a list of texts, or texts separated by semicolons
	attributeColumn                  // any single value
)

// shape is what the values of a column are.
type shape uint8

const (
	shapeText shape = iota
	shapeInt
	shapeUint
	shapeFloat
	shapeBool
	shapeDate
	shapeTime   // timestamp of ticks
	shapeInt96  // timestamp of old Spark and Impala files
	shapeOthers // what records cannot use
)

// cursor reads one column, value by value.
type cursor struct {
	use      columnUse
	column   *parquet.Column // the leaf
	shape    shape
	tick     time.Duration // of shapeTime
	unzoned  bool          // timestamps of an unnamed zone
	repeated bool
	listed   int    // definition level from which a list has an item
	key      string // of an attribute: `"name":`

	values  parquet.ColumnChunkValueReader
	buffer  [256]parquet.Value
	pending []parquet.Value // of buffer
	value   parquet.Value   // the present one, valid until the next advance
}

func newCursor(column *parquet.Column, use columnUse) (*cursor, error) {
	c := &cursor{use: use, column: column}
	for level := 0; !c.column.Leaf(); {
		inner := c.column.Columns()
		if use != listColumn || len(inner) != 1 {
			return nil, errors.New("is no single value; " + c.wanted())
		}
		if level++; level > 3 {
			return nil, errors.New("is nested too deeply; " + c.wanted())
		}
		c.note(c.column)
		c.column = inner[0]
	}
	c.note(c.column)
	c.shape, c.tick, c.unzoned = shapeOf(c.column)
	switch {
	case c.column.MaxRepetitionLevel() > 0 && use != listColumn, c.column.MaxRepetitionLevel() > 1:
		return nil, errors.New("is a list; " + c.wanted())
	case !c.fits():
		return nil, fmt.Errorf("is of type %s; %s", c.column.Type(), c.wanted())
	}
	return c, nil
}

// note remembers where the list is on the way to its items.
func (c *cursor) note(on *parquet.Column) {
	if on.Repeated() {
		c.repeated, c.listed = true, on.MaxDefinitionLevel()
	}
}

func (c *cursor) wanted() string {
	return [...]string{
		"user ids are strings or integers",
		"times are TIMESTAMP, strings, or int64 of epoch milliseconds",
		"families are a list of strings",
		"attributes are strings, numbers, bools, dates or timestamps",
	}[c.use]
}

func (c *cursor) fits() bool {
	switch c.use {
	case userColumn:
		return c.shape == shapeText || c.shape == shapeInt || c.shape == shapeUint
	case timeColumn:
		wide := c.column.Type().Kind() == parquet.Int64
		return c.shape == shapeText || c.shape == shapeTime || c.shape == shapeInt96 || c.shape == shapeInt && wide
	case listColumn:
		return c.shape == shapeText
	default:
		return c.shape != shapeOthers
	}
}

func shapeOf(column *parquet.Column) (s shape, tick time.Duration, unzoned bool) {
	var logical format.LogicalTypeValue
	if l := column.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.TimestampType:
		return shapeTime, tickOf(l.Unit), !l.IsAdjustedToUTC
	case *format.DateType:
		return shapeDate, 0, false
	case *format.IntType:
		if l.IsSigned {
			return shapeInt, 0, false
		}
		return shapeUint, 0, false
	case nil, *format.StringType, *format.EnumType, *format.JsonType:
	default:
		return shapeOthers, 0, false
	}
	switch column.Type().Kind() {
	case parquet.ByteArray:
		return shapeText, 0, false
	case parquet.Int32, parquet.Int64:
		return shapeInt, 0, false
	case parquet.Float, parquet.Double:
		return shapeFloat, 0, false
	case parquet.Boolean:
		return shapeBool, 0, false
	case parquet.Int96:
		return shapeInt96, 0, false
	default:
		return shapeOthers, 0, false
	}
}

func tickOf(u format.TimeUnit) time.Duration {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return time.Millisecond
	case *format.MicroSeconds:
		return time.Microsecond
	default:
		return time.Nanosecond
	}
}

// open moves to a row group.
func (c *cursor) open(group parquet.RowGroup) error {
	if err := c.close(); err != nil {
		return err
	}
	c.values = parquet.NewColumnChunkValueReader(group.ColumnChunks()[c.column.Index()])
	return nil
}

func (c *cursor) close() error {
	c.pending = nil
	if c.values == nil {
		return nil
	}
	values := c.values
	c.values = nil
	return values.Close()
}

// peek gives the next value without taking it; nil at the end of the row group.
func (c *cursor) peek() (*parquet.Value, error) {
	for len(c.pending) == 0 {
		n, err := c.values.ReadValues(c.buffer[:])
		if n > 0 {
			c.pending = c.buffer[:n]
			break
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return &c.pending[0], nil
}

// advance takes the value of the next row.
func (c *cursor) advance() error {
	v, err := c.peek()
	if err != nil {
		return err
	}
	if v == nil {
		return io.EOF
	}
	c.value, c.pending = *v, c.pending[1:]
	return nil
}

// advanceList takes all values of the next row. null says that there is no list, hole
// that an item of it is null.
func (c *cursor) advanceList(item func(text []byte)) (null, hole bool, err error) {
	for first := true; ; first = false {
		v, err := c.peek()
		switch {
		case err != nil:
			return false, false, err
		case v == nil && first:
			return false, false, io.EOF
		case v == nil || !first && v.RepetitionLevel() == 0:
			return null, hole, nil
		}
		switch {
		case !v.IsNull():
			item(v.ByteArray())
		case !c.repeated:
			null = true
		case v.DefinitionLevel() >= c.listed:
			hole = true
		default: // a bare repeated column has no null, so that empty stands for it
			null = v.DefinitionLevel() < c.listed-1 || c.listed == 1 && c.column.Repeated()
		}
		c.pending = c.pending[1:]
	}
}

var errNull = errors.New("it is null; give a value")

// text gives a user id.
func (c *cursor) text() (string, error) {
	if c.value.IsNull() {
		return "", errNull
	}
	switch c.shape {
	case shapeInt:
		return strconv.FormatInt(c.integer(), 10), nil
	case shapeUint:
		return strconv.FormatUint(c.unsigned(), 10), nil
	default:
		return string(c.value.ByteArray()), nil
	}
}

func (c *cursor) integer() int64 {
	if c.value.Kind() == parquet.Int32 {
		return int64(c.value.Int32())
	}
	return c.value.Int64()
}

func (c *cursor) unsigned() uint64 {
	if c.value.Kind() == parquet.Int32 {
		return uint64(c.value.Uint32())
	}
	return c.value.Uint64()
}

// epochMS gives a time in epoch milliseconds.
func (c *cursor) epochMS(names record.Names) (int64, error) {
	if c.value.IsNull() {
		return 0, errNull
	}
	var ms int64
	switch c.shape {
	case shapeText:
		return textTime(c.value.ByteArray(), names)
	case shapeInt:
		return c.integer(), nil
	case shapeInt96:
		var rest time.Duration
		if ms, rest = int96(c.value); rest != 0 {
			return 0, errFiner
		}
		return ms, nil
	default:
		per := int64(time.Millisecond / c.tick)
		ticks := c.value.Int64()
		if ms = ticks / per; ms*per != ticks {
			return 0, errFiner
		}
	}
	if c.unzoned {
		local, err := record.Local(ms, names.Location)
		if err != nil {
			return 0, fmt.Errorf("%s %w", wall(ms), err)
		}
		return local, nil
	}
	return ms, nil
}

var errFiner = errors.New("it is finer than milliseconds; round it to milliseconds")

func wall(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999") }

// int96 reads nanoseconds of a day and a Julian day.
func int96(v parquet.Value) (ms int64, rest time.Duration) {
	const epochDay = 2440588 // 1970-01-01
	i := v.Int96()
	nanos := int64(uint64(i[1])<<32 | uint64(i[0]))
	day := int64(i[2]) - epochDay
	return day*86_400_000 + nanos/1e6, time.Duration(nanos % 1e6)
}

// appendJSON appends an attribute's value.
func (c *cursor) appendJSON(dst []byte) []byte {
	if c.value.IsNull() {
		return append(dst, "null"...)
	}
	switch c.shape {
	case shapeInt:
		return strconv.AppendInt(dst, c.integer(), 10)
	case shapeUint:
		return strconv.AppendUint(dst, c.unsigned(), 10)
	case shapeBool:
		return strconv.AppendBool(dst, c.value.Boolean())
	case shapeFloat:
		return appendFloat(dst, c.value)
	case shapeDate:
		return append(append(append(dst, '"'), time.Unix(int64(c.value.Int32())*86400, 0).UTC().Format(time.DateOnly)...), '"')
	case shapeTime:
		per := int64(time.Second / c.tick)
		ticks := c.value.Int64()
		at := time.Unix(ticks/per, ticks%per*int64(c.tick)).UTC()
		layout := "2006-01-02T15:04:05.999999999Z"
		if c.unzoned {
			layout = "2006-01-02T15:04:05.999999999"
		}
		return append(at.AppendFormat(append(dst, '"'), layout), '"')
	case shapeInt96:
		ms, rest := int96(c.value)
		at := time.UnixMilli(ms).Add(rest).UTC()
		return append(at.AppendFormat(append(dst, '"'), "2006-01-02T15:04:05.999999999Z"), '"')
	default:
		return record.AppendString(dst, string(c.value.ByteArray()))
	}
}

// appendFloat appends null for what JSON has no number for.
func appendFloat(dst []byte, v parquet.Value) []byte {
	bits, f := 64, 0.0
	if v.Kind() == parquet.Float {
		bits, f = 32, float64(v.Float())
	} else {
		f = v.Double()
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// shown gives the present value for people.
func (c *cursor) shown() string {
	if c.value.IsNull() {
		return "null"
	}
	return c.value.String()
}
