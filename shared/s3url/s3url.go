// Package s3url takes s3://bucket/key apart and says what is wrong with it. It knows no S3:
// whatever names places in it can use it without an SDK.
package s3url

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

const scheme = "s3://"

// URL names an object, or everything below a prefix.
type URL struct {
	Bucket string
	Key    string // "" = the whole bucket
}

// Is tells whether a text means S3, well written or not. Any case of the scheme does: nobody
// has a directory called "S3:".
func Is(text string) bool {
	return len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme)
}

// Parse reads s3://bucket or s3://bucket/key. The key is taken as it is: nothing in it is
// escaped. Slashes at its end are left out.
func Parse(text string) (URL, error) {
	if !Is(text) {
		return URL{}, fmt.Errorf("%s is no S3 URL; write s3://bucket/key", text)
	}
	bucket, key, _ := strings.Cut(text[len(scheme):], "/")
	u := URL{Bucket: bucket, Key: strings.TrimRight(key, "/")}
	if bucket == "" {
		return URL{}, fmt.Errorf("%s: the bucket is missing; write s3://bucket/key", text)
	}
	if fault := BucketFault(bucket); fault != "" {
		return URL{}, fmt.Errorf("%s: %q %s", text, bucket, fault)
	}
	return u, nil
}

// ParseObject is Parse for the URL of one object.
func ParseObject(text string) (URL, error) {
	u, err := Parse(text)
	switch {
	case err != nil:
		return URL{}, err
	case u.Key == "" || strings.HasSuffix(text, "/"):
		return URL{}, fmt.Errorf("%s names no object; write s3://bucket/key", text)
	}
	return u, nil
}

// String gives s3://bucket/key.
func (u URL) String() string {
	if u.Key == "" {
		return scheme + u.Bucket
	}
	return scheme + u.Bucket + "/" + u.Key
}

// Join gives the URL of something below u.
func (u URL) Join(name string) URL {
	if u.Key == "" {
		return URL{u.Bucket, name}
	}
	return URL{u.Bucket, u.Key + "/" + name}
}

var bucketName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// BucketFault says what is wrong with a bucket's name, to be put behind the name; "" if it
// can be one. A name of one letter can: S3 has none, servers of one's own do.
func BucketFault(name string) string {
	switch {
	case strings.Contains(name, "://"):
		return "is a URL; give the bucket's name alone, and what follows it as the prefix"
	case strings.HasPrefix(name, "arn:"):
		return "is an ARN; give the bucket's name alone, its last part"
	case strings.Contains(name, "/"):
		return "is more than a bucket's name; what follows the slash belongs to the prefix"
	case strings.ToLower(name) != name:
		return "is no bucket name: it has capital letters; use a-z, 0-9, - and ."
	case strings.Contains(name, "_"):
		return "is no bucket name: it has an underscore; use a-z, 0-9, - and ."
	case !bucketName.MatchString(name):
		return "is no bucket name; use up to 63 of a-z, 0-9, - and ., the first and the last of them a letter or digit"
	case strings.Contains(name, ".."):
		return "is no bucket name: it has two dots in a row"
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "is no bucket name: it is an IP address"
	}
	return ""
}
