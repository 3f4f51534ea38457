// Package dataset is the output of a run: where its files are and what they are
// called, how Parquet files are written, staged and made visible, the completion
// index that says which cells a file holds, the manifest, the list of failures, and
// the proof that all of it is right.
//
//	<output dir>/<run>/
//	  features/family=<family>/part-*.parquet   what readers see
//	  _manifest.json _failures.jsonl _schema.yaml _SUCCESS
//	  _owner                                     the system that works on it
//	  _commits/<epoch>-<part>                    completion indexes
//	  _staging/<epoch>-<token>/…                 files that are not committed yet
package dataset

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names beside features/. Names that begin with _ or . are invisible to Spark,
// DuckDB and Arrow readers.
const (
	ManifestName = "_manifest.json"
	FailuresName = "_failures.jsonl"
	SchemaName   = "_schema.yaml"
	SuccessName  = "_SUCCESS" // holds the epoch
	OwnerName    = "_owner"
)

// Where the other files are.
const (
	CommitsDir   = "_commits"
	StagingDir   = "_staging"
	FeaturesDir  = "features"
	FamilyPrefix = "family="
)

// MaxFamilyPathBytes bounds an escaped family id, so that every file system takes it.
const MaxFamilyPathBytes = 200

// RunDir gives the directory of a run's dataset.
func RunDir(outputDir, run string) string { return filepath.Join(outputDir, run) }

// PartFile gives the name of a part's Parquet file. It is the same in every family.
func PartFile(epoch uint64, part string) string {
	return fmt.Sprintf("part-%d-%s.parquet", epoch, part)
}

// IndexName gives the name of a part's completion index.
func IndexName(epoch uint64, part string) string { return fmt.Sprintf("%d-%s", epoch, part) }

// ParseIndexName takes an index name apart.
func ParseIndexName(name string) (epoch uint64, part string, err error) {
	return parseEpochName("completion index", name)
}

// StagingName gives the name of an epoch's staging directory.
func StagingName(epoch uint64, token string) string { return fmt.Sprintf("%d-%s", epoch, token) }

// ParseStagingName takes the name of a staging directory apart.
func ParseStagingName(name string) (epoch uint64, token string, err error) {
	return parseEpochName("staging directory", name)
}

func parseEpochName(what, name string) (epoch uint64, rest string, err error) {
	number, rest, ok := strings.Cut(name, "-")
	if !ok || rest == "" {
		return 0, "", fmt.Errorf("%s %q: want <epoch>-<name>", what, name)
	}
	epoch, err = strconv.ParseUint(number, 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != number {
		return 0, "", fmt.Errorf("%s %q: %q is no epoch", what, name, number)
	}
	return epoch, rest, nil
}

// VisiblePath gives the path of a visible file in the dataset, with slashes.
func VisiblePath(family, name string) string {
	return FeaturesDir + "/" + FamilyPrefix + EscapeFamily(family) + "/" + name
}

// EscapeFamily writes a family id as paths carry it: bytes outside A-Za-z0-9._-
// become %XX in upper case.
func EscapeFamily(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if isPlain(id[i]) {
			b.WriteByte(id[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", id[i])
		}
	}
	return b.String()
}

// UnescapeFamily reads what EscapeFamily wrote, and nothing else.
func UnescapeFamily(escaped string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' {
			b.WriteByte(escaped[i])
			continue
		}
		if i+2 >= len(escaped) {
			return "", fmt.Errorf("family directory %q: %% without two digits", escaped)
		}
		v, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("family directory %q: %q is no escaped byte", escaped, escaped[i:i+3])
		}
		b.WriteByte(byte(v))
		i += 2
	}
	if id := b.String(); EscapeFamily(id) == escaped {
		return id, nil
	}
	return "", fmt.Errorf("family directory %q is not escaped as this program does it", escaped)
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// CheckFamilyIDs refuses ids that cannot be directories side by side: empty ones, ones
// over MaxFamilyPathBytes when escaped, and ones that are equal under case folding,
// which some file systems cannot tell apart.
func CheckFamilyIDs(ids []string) error {
	seen := make(map[string]string, len(ids))
	for _, id := range ids {
		if id == "" {
			return fmt.Errorf("a family id is empty")
		}
		if n := len(EscapeFamily(id)); n > MaxFamilyPathBytes {
			return fmt.Errorf("family %q: its directory name would be %d bytes long; the limit is %d, and a byte outside A-Za-z0-9._- takes 3", id, n, MaxFamilyPathBytes)
		}
		if other, ok := seen[foldKey(id)]; ok {
			if other == id {
				return fmt.Errorf("family %q is given twice", id)
			}
			return fmt.Errorf("families %q and %q differ in case only; rename one", other, id)
		}
		seen[foldKey(id)] = id
	}
	return nil
}

// foldKey maps strings that are equal under Unicode case folding to one string, so
// that a map can find them. Bytes that are no UTF-8 stand for themselves.
func foldKey(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[i])
		} else {
			b = utf8.AppendRune(b, smallestFold(r))
		}
		i += n
	}
	return string(b)
}

// smallestFold gives the smallest rune of r's folding orbit.
func smallestFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
