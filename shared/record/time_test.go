package record

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]int64{
		"2025-01-31T12:00:00Z":              noon,
		"2025-01-31 12:00:00z":              noon,
		"2025-01-31t15:00:00+03:00":         noon,
		"2025-01-31T06:30:00-05:30":         noon,
		"2025-01-31T12:00:00.5Z":            noon + 500,
		"2025-01-31T12:00:00.123000000000Z": noon + 123,
		"1969-12-31T23:59:59.999Z":          -1,
		"2024-02-29T00:00:00-00:00":         1709164800000,
		"0001-01-01T00:00:00Z":              MinEpochMS,
		"9999-12-31T23:59:59.999Z":          MaxEpochMS,
	} {
		if got, err := ParseTime(text, nil); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                              "is no time",
		"2025-01-31":                    "is no time",
		"2025-02-29T00:00:00Z":          "is no time",
		"2025-13-01T00:00:00Z":          "is no time",
		"2025-01-01T24:00:00Z":          "is no time",
		"2025-01-01T23:59:60Z":          "is no time",
		"2025-01-01T00:00:00.Z":         "is no time",
		"2025-01-01T00:00:00+0300":      "is no time",
		"2025-01-01T00:00:00+24:00":     "is no time",
		"2025-01-01T00:00:00Zx":         "is no time",
		"+025-01-01T00:00:00Z":          "is no time",
		"0000-01-01T00:00:00Z":          "is no time",
		"2025-01-01T00:00:00.0001Z":     "finer than milliseconds",
		"2025-01-01T00:00:00":           "has no time zone; write Z or an offset such as +03:00 behind it, or set records.timezone",
		"0001-01-01T00:00:00+01:00":     "outside the years 0001 to 9999",
		"9999-12-31T23:59:59.999-01:00": "outside the years 0001 to 9999",
	} {
		if _, err := ParseTime(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestParseLocalTime(t *testing.T) {
	for _, tc := range []struct{ zone, text, want string }{
		{"UTC", "2025-01-31T12:00:00", "2025-01-31T12:00:00Z"},
		{"Africa/Nairobi", "2025-01-31T12:00:00.25", "2025-01-31T09:00:00.25Z"},
		{"Europe/Berlin", "2025-01-31T12:00:00", "2025-01-31T11:00:00Z"},
		{"Europe/Berlin", "2025-07-31T12:00:00", "2025-07-31T10:00:00Z"},
		{"Europe/Berlin", "2025-07-31T12:00:00Z", "2025-07-31T12:00:00Z"}, // its own zone counts
		{"Europe/Berlin", "2025-03-30T01:59:59.999", "2025-03-30T00:59:59.999Z"},
		{"Europe/Berlin", "2025-03-30T03:00:00", "2025-03-30T01:00:00Z"},
		{"Europe/Berlin", "2025-03-30T02:30:00", "does not exist in this time zone"},
		{"Europe/Berlin", "2025-10-26T01:59:59", "2025-10-25T23:59:59Z"},
		{"Europe/Berlin", "2025-10-26T02:30:00", "occurs twice in this time zone"},
		{"Europe/Berlin", "2025-10-26T03:00:00", "2025-10-26T02:00:00Z"},
		{"America/New_York", "2025-03-09T02:00:00", "does not exist in this time zone"},
		{"America/New_York", "2025-11-02T01:59:59", "occurs twice in this time zone"},
		{"Australia/Lord_Howe", "2025-04-06T01:45:00", "occurs twice in this time zone"}, // half an hour
		{"Pacific/Apia", "2011-12-30T12:00:00", "does not exist in this time zone"},      // a whole day
		{"Pacific/Kiritimati", "2025-01-01T00:00:00", "2024-12-31T10:00:00Z"},
	} {
		location, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		ms, err := ParseTime([]byte(tc.text), location)
		if strings.HasSuffix(tc.want, "Z") {
			if want, _ := ParseTime(tc.want, nil); err != nil || ms != want {
				t.Errorf("%s in %s: %v, %v, want %s", tc.text, tc.zone, time.UnixMilli(ms).UTC(), err, tc.want)
			}
		} else if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "give the time with its zone") {
			t.Errorf("%s in %s: %v, %v, want %q", tc.text, tc.zone, time.UnixMilli(ms).UTC(), err, tc.want)
		}
	}
}

// FuzzParseTime compares with the standard library, which accepts a little more.
func FuzzParseTime(f *testing.F) {
	f.Add("2025-01-31T12:00:00.123+03:00")
	f.Add("9999-12-31 23:59:59z")
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := ParseTime(text, nil)
		if err != nil {
			return
		}
		if ms < MinEpochMS || ms > MaxEpochMS {
			t.Errorf("%q: %d is out of range", text, ms)
		}
		upper := strings.ToUpper(strings.Replace(text, " ", "T", 1))
		want, err := time.Parse(time.RFC3339Nano, upper)
		if err != nil || want.UnixMilli() != ms {
			t.Errorf("%q: %d, the standard library says %d, %v", text, ms, want.UnixMilli(), err)
		}
	})
}
