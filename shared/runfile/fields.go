package runfile

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // records.timezone must work on machines without a zone database

	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// The defaults of settings that a run file leaves out.
const (
	DefaultOutputDir       = "./out"
	DefaultInputIdle       = 30 * time.Minute
	DefaultInputMaxBytes   = 4_000_000_000
	DefaultOutputFileBytes = 128_000_000
	DefaultDynamoInFlight  = 64 // calls of one process
	DefaultFastInFlight    = 100
	DefaultFastTimeout     = 60 * time.Second
	DefaultSlowInFlight    = 50
	DefaultSlowTimeout     = 300 * time.Second
	DefaultMaxFamilies     = 20 // of one request on the fast lane
	DefaultMaxAttempts     = 5  // of a cell
	DefaultTargetDuration  = 30 * time.Minute
	DefaultMaxHold         = 6 * time.Hour
	DefaultHitRatio        = 0.8
	DefaultItemBytes       = 2048
	DefaultMaxReadUnits    = 10_000
	DefaultWarmUpRequests  = 10 // a second
	DefaultWarmUpDuration  = 2 * time.Minute
	DefaultReadPrice       = 0.125 // US dollars for a million read units on demand, in us-east-1
)

// Bounds that more than one setting shares.
const (
	maxInFlight  = 100_000
	maxUnits     = 1_000_000_000_000
	maxItemBytes = 400 << 10 // DynamoDB's
	maxAttribute = 255       // bytes of a key attribute's name, DynamoDB's
)

var (
	runID     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	tableName = regexp.MustCompile(`^([A-Za-z0-9_.-]{3,255}|arn:[A-Za-z0-9_.:/-]{8,1000})$`)
)

func matches(re *regexp.Regexp, msg string) func(string) string {
	return func(s string) string {
		if re.MatchString(s) {
			return ""
		}
		return msg
	}
}

func notEmpty(s string) string {
	if s == "" {
		return "is empty; give it a value, or leave the field out"
	}
	if strings.ContainsRune(s, 0) {
		return "holds a zero byte; leave that out"
	}
	return ""
}

func attributeName(s string) string {
	if len(s) > maxAttribute {
		return "is longer than the 255 bytes that DynamoDB allows; shorten it"
	}
	return notEmpty(s)
}

// defaults is a file in which nothing is set.
func defaults() *File {
	return &File{
		Output:  Output{Dir: DefaultOutputDir, FileBytes: DefaultOutputFileBytes},
		Records: Records{UserID: "user_id", PITCTimestamp: "pitc_timestamp", FeatureFamilies: "feature_families"},
		Input:   Input{Idle: DefaultInputIdle, MaxBytes: DefaultInputMaxBytes},
		FailurePolicy: FailurePolicy{
			Window:         5 * time.Minute,
			StallAfter:     10 * time.Minute,
			StallDo:        Stop,
			SilentAfter:    30 * time.Second,
			SilentDo:       Warn,
			FailedRatio:    Threshold{Over: 0.01, Do: Stop},
			RepeatedErrors: Threshold{Over: 100, Do: Warn},
			NullRatio:      Threshold{Over: 0.5, Do: Warn},
			NotFinite:      Threshold{Over: 0, Do: Warn},
			Constant:       Warn,
			MissingFeature: Warn,
			NewFeature:     Warn,
			TypeDrift:      Stop,
		},
		Budget: Budget{USDPerMillionReadUnits: DefaultReadPrice},
	}
}

// file reads the whole run file; what is wrong is in d.err.
func (d *decoder) file(root *node) *File {
	f := defaults()
	d.object(root, "", []string{"run", "families"}, map[string]field{
		"run": text(d, &f.Run, matches(runID,
			"is no run id; use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")),
		"families":        d.listOf(func(n *node, path string) { f.Families = append(f.Families, d.family(n, path)) }),
		"dynamodb":        func(n *node, path string) { f.DynamoDB = d.dynamoDB(n, path) },
		"feature_service": func(n *node, path string) { f.FeatureService = d.featureService(n, path) },
		"output":          func(n *node, path string) { d.output(n, path, &f.Output) },
		"records":         func(n *node, path string) { d.records(n, path, &f.Records) },
		"input": func(n *node, path string) {
			d.object(n, path, nil, map[string]field{
				"idle":      duration(d, &f.Input.Idle),
				"max_bytes": size(d, &f.Input.MaxBytes, 1_000_000, 1_000_000_000_000_000),
			})
		},
		"warm_up":        func(n *node, path string) { f.WarmUp = d.warmUp(n, path) },
		"failure_policy": func(n *node, path string) { d.failurePolicy(n, path, &f.FailurePolicy) },
		"budget": func(n *node, path string) {
			d.object(n, path, nil, map[string]field{
				"max_duration":   duration(d, &f.Budget.MaxDuration),
				"max_read_units": integer(d, &f.Budget.MaxReadUnits, 1, maxUnits),
				"max_cost_usd":   float(d, &f.Budget.MaxCostUSD, 0.01, 1_000_000_000),

				"usd_per_million_read_units": float(d, &f.Budget.USDPerMillionReadUnits, 0, 1_000_000),
			})
		},
	})
	return f
}

func (d *decoder) family(n *node, path string) Family {
	f := Family{Lane: LaneFast, Cached: true}
	d.object(n, path, []string{"id"}, map[string]field{
		"id":       text(d, &f.ID, familyID),
		"lane":     choice(d, &f.Lane, "lane", LaneFast, LaneSlow, LaneAuto),
		"cached":   boolean(d, &f.Cached),
		"table":    text(d, &f.Table, matches(tableName, notATable)),
		"features": d.features(&f.Features),
	})
	return f
}

const notATable = "is no DynamoDB table name; use 3 to 255 of A-Z, a-z, 0-9, _, - and ., or a table's ARN"

// maxEscapedID bounds a family id in paths, where a byte outside A-Za-z0-9._- takes
// three.
const maxEscapedID = 200

func familyID(s string) string {
	escaped := 0
	for _, c := range []byte(s) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			escaped++
		default:
			escaped += 3
		}
	}
	if escaped > maxEscapedID {
		return "takes " + strconv.Itoa(escaped) + " bytes in paths, where every byte outside A-Za-z0-9._- takes three; the most is 200: shorten it"
	}
	return notEmpty(s)
}

func (d *decoder) features(dst *[]Feature) field {
	return func(n *node, path string) {
		if n.kind != kindMapping {
			d.fail(n, path, "%s; write features with their types: {lat: double, visits: int64}", describe(n))
			return
		}
		for _, m := range n.members {
			f, at := Feature{Name: m.key}, join(path, m.key)
			d.places[at] = m.value
			if m.key == "" {
				d.fail(m.place, path, "a feature has an empty name; give it one, or leave it out")
			}
			choice(d, &f.Type, "feature type", Double, Int64, Bool, String)(m.value, at)
			*dst = append(*dst, f)
		}
	}
}

func (d *decoder) dynamoDB(n *node, path string) *DynamoDB {
	db := &DynamoDB{Layout: LayoutAttributes, MaxInFlight: DefaultDynamoInFlight}
	layout := string(db.Layout)
	d.object(n, path, []string{"partition_key"}, map[string]field{
		"table":         text(d, &db.Table, matches(tableName, notATable)),
		"partition_key": func(n *node, path string) { db.PartitionKey = d.keyAttribute(n, path) },
		"sort_key": func(n *node, path string) {
			key := d.keyAttribute(n, path)
			db.SortKey = &key
		},
		"layout":          text(d, &layout, isLayout),
		"exclude":         d.names(&db.Exclude, "attribute"),
		"ttl":             text(d, &db.TTL, notEmpty),
		"consistent_read": boolean(d, &db.ConsistentRead),
		"max_in_flight":   integer(d, &db.MaxInFlight, 1, maxInFlight),
	})
	kind, attribute, _ := strings.Cut(layout, ":")
	db.Layout, db.LayoutAttribute = Layout(kind), attribute
	return db
}

func isLayout(s string) string {
	kind, name, named := strings.Cut(s, ":")
	switch Layout(kind) {
	case LayoutAttributes:
		if !named {
			return ""
		}
	case LayoutMap, LayoutJSON:
		if name != "" {
			return ""
		}
		return "names no attribute; write " + kind + ":NAME, where NAME is the attribute that holds the features"
	}
	return "is no layout; use attributes, map:NAME or json:NAME"
}

func (d *decoder) keyAttribute(n *node, path string) KeyAttribute {
	k := KeyAttribute{Type: "S"}
	d.object(n, path, []string{"name", "value"}, map[string]field{
		"name":  text(d, &k.Name, attributeName),
		"value": template(d, &k.Value),
		"type":  choice(d, &k.Type, "key type", "S", "N"),
	})
	return k
}

// names reads a list of different names.
func (d *decoder) names(dst *[]string, what string) field {
	return d.listOf(func(n *node, path string) {
		var name string
		text(d, &name, notEmpty)(n, path)
		for _, other := range *dst {
			if other == name {
				d.fail(n, path, "the %s %q is named twice; leave one out", what, name)
			}
		}
		*dst = append(*dst, name)
	})
}

func (d *decoder) featureService(n *node, path string) *FeatureService {
	fs := &FeatureService{
		Fast: LaneLimits{
			MaxInFlight: DefaultFastInFlight, Timeout: DefaultFastTimeout,
			MaxFamilies: DefaultMaxFamilies, MaxAttempts: DefaultMaxAttempts,
		},
		Slow: LaneLimits{
			MaxInFlight: DefaultSlowInFlight, Timeout: DefaultSlowTimeout,
			MaxFamilies: 1, MaxAttempts: DefaultMaxAttempts,
		},
	}
	d.object(n, path, []string{"url"}, map[string]field{
		"url": text(d, &fs.URL, httpURL),
		"fast": func(n *node, path string) {
			fields := d.laneLimits(&fs.Fast)
			fields["max_families"] = integer(d, &fs.Fast.MaxFamilies, 1, 1000)
			d.object(n, path, nil, fields)
		},
		"slow": func(n *node, path string) { d.object(n, path, nil, d.laneLimits(&fs.Slow)) },
	})
	return fs
}

func (d *decoder) laneLimits(l *LaneLimits) map[string]field {
	return map[string]field{
		"max_in_flight": integerOr(d, &l.MaxInFlight, 1, maxInFlight, "auto"),
		"timeout":       duration(d, &l.Timeout),
		"max_attempts":  integer(d, &l.MaxAttempts, 1, 100),
	}
}

func httpURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "is no URL of a feature service; write one like http://127.0.0.1:8090/features"
	}
	if u.Fragment != "" {
		return "has a fragment (#…), which a server never sees; leave it out"
	}
	return ""
}

func (d *decoder) output(n *node, path string, o *Output) {
	d.object(n, path, nil, map[string]field{
		"dir":        text(d, &o.Dir, outputDir),
		"file_bytes": size(d, &o.FileBytes, 0, 10_000_000_000),
		"s3": func(n *node, path string) {
			o.S3 = &S3{}
			d.object(n, path, []string{"bucket"}, map[string]field{
				"bucket":     text(d, &o.S3.Bucket, s3Bucket),
				"prefix":     text(d, &o.S3.Prefix, s3Prefix),
				"local_copy": boolean(d, &o.S3.LocalCopy),
			})
			o.S3.Prefix = strings.TrimSuffix(o.S3.Prefix, "/")
		},
	})
}

func outputDir(s string) string {
	if u, err := s3url.Parse(s); err == nil {
		prefix := ""
		if u.Key != "" {
			prefix = ", prefix: " + u.Key
		}
		return fmt.Sprintf("is in S3; write `output: {s3: {bucket: %s%s}}` in the run file", u.Bucket, prefix)
	}
	return notEmpty(s)
}

func s3Bucket(s string) string {
	if fault := notEmpty(s); fault != "" {
		return fault
	}
	return s3url.BucketFault(s)
}

// maxPrefixBytes leaves room for the run and a family in a key, which has 1024 bytes at most.
const maxPrefixBytes = 512

func s3Prefix(s string) string {
	switch {
	case s3url.Is(s):
		return "is a URL; give the bucket's name as output.s3.bucket, and here what follows it"
	case strings.HasPrefix(s, "/") || strings.Contains(s, "//"):
		return "would make keys with an empty folder name; write it like datasets/training"
	case slices.ContainsFunc(strings.Split(s, "/"), func(folder string) bool { return folder == "." || folder == ".." }):
		return "has a folder called . or .., which not every server takes; write it like datasets/training"
	case len(s) > maxPrefixBytes:
		return fmt.Sprintf("has %d bytes; the most is %d", len(s), maxPrefixBytes)
	}
	return notEmpty(s)
}

func (d *decoder) records(n *node, path string, r *Records) {
	d.object(n, path, nil, map[string]field{
		"user_id":          text(d, &r.UserID, notEmpty),
		"pitc_timestamp":   text(d, &r.PITCTimestamp, notEmpty),
		"feature_families": text(d, &r.FeatureFamilies, notEmpty),
		"attributes":       d.names(&r.Attributes, "column"),
		"timezone":         text(d, &r.Timezone, timezone),
	})
}

func timezone(s string) string {
	if _, err := time.LoadLocation(s); s == "" || s == "Local" || err != nil {
		return "is no time zone; use UTC or a name such as Africa/Nairobi"
	}
	return ""
}
