package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// count writes a number with commas.
func count(n int64) string { return humanize.Comma(n) }

// rate writes a number per second in at most six characters, without its unit.
func rate(r float64) string {
	switch {
	case r < 0.05:
		return "0"
	case r < 10:
		return fmt.Sprintf("%.1f", r)
	case r < 9_999.5:
		return humanize.Comma(int64(r + 0.5))
	case r < 999_950:
		return fmt.Sprintf("%.1fk", r/1e3)
	}
	return fmt.Sprintf("%.2fM", r/1e6)
}

// span writes a duration as people say it: 850ms, 12.3s, 4m 05s, 3h 07m.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh %02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// eta writes how long something may still take; "" while nobody knows.
func eta(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("ETA %ds", (d+time.Second-1)/time.Second)
	case d > 99*time.Hour:
		return "ETA > 99h"
	}
	return "ETA " + span(d)
}

// share writes a part of a whole in percent.
func share(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

// state writes a run's state for people.
func state(s string) string { return strings.ReplaceAll(s, "_", " ") }
