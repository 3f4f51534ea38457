package runfile

import "slices"

// suggest names the known word that was probably meant, or all of them.
func suggest(word string, known []string) string {
	best, least := "", 3 // more than two slips are another word
	for _, k := range known {
		if n := distance(word, k); n < least && n < len(k) {
			best, least = k, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "use " + list(known)
}

// distance counts the letters to insert, remove or replace between two words.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			replace := previous[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, previous[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
