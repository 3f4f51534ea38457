package record

import (
	"errors"
	"fmt"
	"time"
)

const timeForms = "a time like 2025-01-31T12:00:00Z, or an integer of epoch milliseconds"

// The points in time that a sample may have, the years 0001 to 9999, in epoch
// milliseconds.
const (
	MinEpochMS = -62135596800000
	MaxEpochMS = 253402300799999
)

// outOfRange says what is wrong with a point in time; "" = nothing.
func outOfRange(ms int64) string {
	if ms >= MinEpochMS && ms <= MaxEpochMS {
		return ""
	}
	return "it is outside the years 0001 to 9999; give epoch milliseconds, not micro- or nanoseconds, or a time like 2025-01-31T12:00:00Z"
}

// ParseTime reads RFC 3339 and gives epoch milliseconds. A blank may stand for the T.
// With a location a time may lack its zone, and is one of the location then. Errors
// say what is wrong and what to do.
func ParseTime[T ~string | ~[]byte](text T, location *time.Location) (epochMS int64, err error) {
	t := clock{text: string(text)} // does not escape
	if !t.read() {
		return 0, fmt.Errorf("%q is no time; give %s", clip(text), timeForms)
	}
	if t.finer {
		return 0, fmt.Errorf("%q is finer than milliseconds; round it to milliseconds", clip(text))
	}
	if !t.zoned && location == nil {
		return 0, fmt.Errorf("%q has no time zone; write Z or an offset such as +03:00 behind it, or set records.timezone in the run file", clip(text))
	}
	ms := time.Date(t.year, time.Month(t.month), t.day, t.hour, t.minute, t.second, 0, time.UTC).UnixMilli() + int64(t.millis)
	if t.zoned {
		ms -= int64(t.offset) * 60_000
	} else if ms, err = Local(ms, location); err != nil {
		return 0, fmt.Errorf("%q %w", clip(text), err)
	}
	if msg := outOfRange(ms); msg != "" {
		return 0, fmt.Errorf("%q is no time that a sample can have: %s", clip(text), msg)
	}
	return ms, nil
}

// clock is a time as it is written.
type clock struct {
	text                         string
	year, month, day             int
	hour, minute, second, millis int
	offset                       int // minutes east of UTC
	zoned                        bool
	finer                        bool // than milliseconds
}

// read takes the text apart; false = it is no RFC 3339.
func (t *clock) read() bool {
	s := t.text
	if len(s) < len("2006-01-02T15:04:05") || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' ||
		s[10] != 'T' && s[10] != 't' && s[10] != ' ' {
		return false
	}
	ok := digits(s[0:4], 1, 9999, &t.year) && digits(s[5:7], 1, 12, &t.month) && digits(s[8:10], 1, 31, &t.day) &&
		digits(s[11:13], 0, 23, &t.hour) && digits(s[14:16], 0, 59, &t.minute) && digits(s[17:19], 0, 59, &t.second)
	if !ok || t.day > daysIn(t.year, t.month) {
		return false
	}
	s = s[19:]
	if s != "" && s[0] == '.' {
		if s, ok = t.fraction(s[1:]); !ok {
			return false
		}
	}
	switch {
	case s == "":
		return true
	case s == "Z" || s == "z":
		t.zoned = true
		return true
	case len(s) != len("+03:00") || s[3] != ':' || s[0] != '+' && s[0] != '-':
		return false
	}
	var hours, minutes int
	if !digits(s[1:3], 0, 23, &hours) || !digits(s[4:6], 0, 59, &minutes) {
		return false
	}
	t.zoned, t.offset = true, hours*60+minutes
	if s[0] == '-' {
		t.offset = -t.offset
	}
	return true
}

// fraction reads the digits behind the point and gives what follows them.
func (t *clock) fraction(s string) (rest string, ok bool) {
	n := 0
	for ; n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
		switch digit := int(s[n] - '0'); n {
		case 0:
			t.millis = digit * 100
		case 1:
			t.millis += digit * 10
		case 2:
			t.millis += digit
		default:
			t.finer = t.finer || digit != 0
		}
	}
	return s[n:], n > 0
}

func digits(s string, least, most int, dst *int) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	*dst = n
	return n >= least && n <= most
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// The errors of Local.
var (
	ErrNoSuchTime = errors.New("does not exist in this time zone: clocks were put forward over it; give the time with its zone")
	ErrAmbiguous  = errors.New("occurs twice in this time zone: clocks were put back over it; give the time with its zone")
)

// Local turns what a clock of a place shows, as epoch milliseconds in UTC, into epoch
// milliseconds. Where clocks are changed the time may not exist, or be two.
func Local(wallMS int64, location *time.Location) (epochMS int64, err error) {
	if location == time.UTC {
		return wallMS, nil
	}
	// The offset at the time in question is that of the zone in force at about this
	// time, or of its neighbours: zones are in force for longer than offsets are.
	near := time.UnixMilli(wallMS).In(location)
	start, end := near.ZoneBounds()
	candidates := [3]time.Time{near, near, near}
	if !start.IsZero() {
		candidates[0] = start.Add(-time.Second)
	}
	if !end.IsZero() {
		candidates[2] = end
	}
	found := false
	for _, c := range candidates {
		_, offset := c.Zone()
		ms := wallMS - int64(offset)*1000
		if _, there := time.UnixMilli(ms).In(location).Zone(); there != offset || found && ms == epochMS {
			continue
		}
		if found {
			return 0, ErrAmbiguous
		}
		epochMS, found = ms, true
	}
	if !found {
		return 0, ErrNoSuchTime
	}
	return epochMS, nil
}
