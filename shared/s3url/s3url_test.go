package s3url

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want URL
		back string
	}{
		{"s3://bucket/a/b.csv", URL{"bucket", "a/b.csv"}, "s3://bucket/a/b.csv"},
		{"S3://bucket/a", URL{"bucket", "a"}, "s3://bucket/a"},
		{"s3://bucket/a/", URL{"bucket", "a"}, "s3://bucket/a"},
		{"s3://my.bucket-1", URL{"my.bucket-1", ""}, "s3://my.bucket-1"},
		{"s3://bucket/a//b", URL{"bucket", "a//b"}, "s3://bucket/a//b"},
		{"s3://bucket/a b%20+ü", URL{"bucket", "a b%20+ü"}, "s3://bucket/a b%20+ü"},
	} {
		got, err := Parse(c.text)
		if err != nil || got != c.want || got.String() != c.back {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
	for text, want := range map[string]string{
		"s3://":                           "the bucket is missing",
		"s3:///key":                       "the bucket is missing",
		"s3://My/key":                     "capital letters",
		"s3://my_b/key":                   "underscore",
		"s3://-abc/key":                   "the first and the last",
		"s3://a..b/key":                   "two dots in a row",
		"s3://10.0.0.1/k":                 "IP address",
		"/bucket/key":                     "no S3 URL",
		"s3://" + strings.Repeat("a", 64): "up to 63 of a-z",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %+v, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseObject(t *testing.T) {
	if u, err := ParseObject("s3://bucket/a.csv"); err != nil || u != (URL{"bucket", "a.csv"}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, text := range []string{"s3://bucket", "s3://bucket/", "s3://bucket/dir/"} {
		if u, err := ParseObject(text); err == nil || !strings.Contains(err.Error(), text+" names no object") {
			t.Errorf("%s: %+v, %v", text, u, err)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{"s3://b/k": true, "S3://": true, "s3:/b": false, "./s3://b": false, "": false, "-": false} {
		if Is(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestJoin(t *testing.T) {
	if got := (URL{"b", ""}).Join("x").Join("y/z").String(); got != "s3://b/x/y/z" {
		t.Error(got)
	}
}

func TestBucketFaultNamesTheRightPart(t *testing.T) {
	for name, want := range map[string]string{
		"s3://bucket":    "is a URL; give the bucket's name alone",
		"arn:aws:s3:::b": "is an ARN",
		"bucket/prefix":  "belongs to the prefix",
	} {
		if fault := BucketFault(name); !strings.Contains(fault, want) {
			t.Errorf("%s: %q", name, fault)
		}
	}
}
