package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	awss "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// put writes an object and gives its URL.
func put(t *testing.T, server *harness.S3, key string, data []byte) string {
	t.Helper()
	_, err := server.Client().PutObject(t.Context(), &awss.PutObjectInput{Bucket: &server.Bucket, Key: &key, Body: bytes.NewReader(data)})
	if err != nil {
		t.Fatal(err)
	}
	return "s3://" + server.Bucket + "/" + key
}

func putFile(t *testing.T, server *harness.S3, key, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, server, key, data)
}

// A job whose run file and records are objects and whose dataset is in S3 needs no file: it
// runs, says where everything is, and is verified there.
func TestEverythingInS3(t *testing.T) {
	t.Parallel()
	server := harness.StartS3(t)
	j := harness.NewJob(t, 120)
	j.Sandbox.HitRatio = 0.5
	j.S3 = server
	runFile := putFile(t, server, "in/run.yaml", j.RunFile(t))
	var csv strings.Builder
	csv.WriteString("user_id,pitc_timestamp\n")
	for _, r := range j.Records {
		fmt.Fprintf(&csv, "%s,%s\n", r.UserID, harness.FormatTime(r.EpochMS))
	}
	records := put(t, server, "in/records.csv", []byte(csv.String()))
	where := "s3://" + server.Bucket + "/" + strings.TrimSuffix(server.Prefix(j), "/")

	r := harness.Run(t, j.Settings(), "run", "-f", runFile, "--records", records, "--sandbox", "--progress", "none").Expect(t, 0)
	for _, want := range []string{"dataset     " + where, "read_parquet('" + where + "/features/family=credit/*.parquet')", "TYPE s3", "pandas.read_parquet('" + where} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("the summary does not say %q\n%s", want, r)
		}
	}
	harness.Run(t, j.Settings(), "verify", where, "--records", records).Expect(t, 0)
	if r := harness.Run(t, j.Settings(), "failed", "list", "--dir", where, "-o", "json").Expect(t, 0); strings.TrimSpace(r.Stdout) != "[]" {
		t.Errorf("nothing failed, but: %s", r)
	}

	// One more sample than the dataset has, and a file that is not as it was.
	csv.WriteString("somebody else,2025-01-01T00:00:00Z\n")
	more := put(t, server, "in/more.csv", []byte(csv.String()))
	if r := harness.Run(t, j.Settings(), "verify", where, "--records", more).Expect(t, 1); !strings.Contains(r.Stdout, "missing: user somebody else at") {
		t.Errorf("what is missing is not named\n%s", r)
	}
	keys, err := server.Keys(t.Context(), server.Prefix(j)+"features/")
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	for key, size := range keys {
		put(t, server, server.Prefix(j)+"features/"+key, make([]byte, size))
		break
	}
	if r := harness.Run(t, j.Settings(), "verify", where, "--records", records).Expect(t, 1); !strings.Contains(r.Stdout, "its checksum is") {
		t.Errorf("a file that was overwritten is not found\n%s", r)
	}
}

// What goes wrong with S3 is said in a line or two, with the place and the remedy.
func TestErrorsOfS3(t *testing.T) {
	t.Parallel()
	server := harness.StartS3(t)
	j := harness.NewJob(t, 1)
	j.S3 = server
	runFile := putFile(t, server, "run.yaml", j.RunFile(t))
	records := putFile(t, server, "records.jsonl", j.JSONL(t))
	bucket := "s3://" + server.Bucket
	run := func(args ...string) []string {
		return append([]string{"run", "--sandbox", "--progress", "none"}, args...)
	}
	for _, c := range []struct {
		name string
		env  harness.Env
		args []string
		code int
		want []string
	}{
		{"no such run file", nil, run("-f", bucket+"/none.yaml", "--records", records), 2, []string{"run file: " + bucket + "/none.yaml", "no such object"}},
		{"no such records", nil, run("-f", runFile, "--records", bucket+"/none.csv"), 2, []string{"records: " + bucket + "/none.csv", "check the key"}},
		{"no such bucket", nil, run("-f", runFile, "--records", "s3://nowhere/r.csv"), 2, []string{`no bucket "nowhere"`, "make it"}},
		{"no such bucket for the output", nil, run("-f", put(t, server, "elsewhere.yaml", []byte(strings.Replace(j.YAML(), server.Bucket, "nowhere", 1))), "--records", records), 2, []string{`no bucket "nowhere"`}},
		{"no bucket name", nil, run("-f", runFile, "--records", "s3://No_Where/r.csv"), 2, []string{"capital letters"}},
		{"no object", nil, run("-f", bucket, "--records", records), 2, []string{"names no object", "s3://bucket/key"}},
		{"no format", nil, run("-f", runFile, "--records", runFile), 2, []string{"use .jsonl"}},
		{"no credentials", harness.Env{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull},
			run("-f", runFile, "--records", records), 2, []string{"no AWS credentials were found", "AWS_PROFILE"}},
		{"wrong secret", harness.Env{"AWS_SECRET_ACCESS_KEY": "wrong"}, run("-f", runFile, "--records", records), 2, []string{"does not take the AWS credentials", "AWS_SECRET_ACCESS_KEY"}},
		{"unknown key", harness.Env{"AWS_ACCESS_KEY_ID": "nobody"}, run("-f", runFile, "--records", records), 2, []string{"does not take the AWS credentials"}},
		{"no region", harness.Env{"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CONFIG_FILE": os.DevNull}, run("-f", runFile, "--records", records), 2, []string{"set AWS_REGION"}},
		{"nobody there", harness.Env{"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, run("-f", runFile, "--records", records), 1, []string{"http://127.0.0.1:9 cannot be reached (connection refused)", "AWS_ENDPOINT_URL_S3"}},
		{"no URL", harness.Env{"AWS_ENDPOINT_URL_S3": "localhost:9000"}, run("-f", runFile, "--records", records), 2, []string{`"localhost:9000"`, "is no URL"}},
		{"no dataset", nil, []string{"verify", bucket + "/none", "--records", records}, 1, []string{bucket + "/none has no _manifest.json"}},
		{"no bucket to verify", nil, []string{"verify", "s3://nowhere/run", "--records", records}, 2, []string{`no bucket "nowhere"`}},
		{"no failures", nil, []string{"failed", "list", "--dir", bucket + "/none"}, 2, []string{bucket + "/none/_failures.jsonl is not there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := j.Settings()
			for name, value := range c.env {
				env[name] = value
			}
			r := harness.Run(t, env, c.args...).Expect(t, c.code)
			text := r.Stderr + r.Stdout
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q\n%s", want, r)
				}
			}
			if n := strings.Count(strings.TrimSpace(r.Stderr), "\n"); n > 1 {
				t.Errorf("it takes %d lines to say so\n%s", n+1, r)
			}
		})
	}
}

// A real server, too, refuses to go on with an object that was written anew or removed.
func TestAnObjectIsReadAsItWas(t *testing.T) {
	server := harness.StartS3(t)
	c := client(t, server)
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	put(t, server, "object", data)
	o, err := awss3.Open(t.Context(), c, server.Bucket, "object")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(o.Stream()); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	at, p := int64(awss3.BlockBytes-5), make([]byte, 10)
	if _, err := o.ReadAt(p, at); err != nil || !bytes.Equal(p, data[at:at+10]) {
		t.Fatalf("%q, %v", p, err)
	}
	put(t, server, "object", append(data, '!'))
	check := func(what string) {
		t.Helper()
		_, err := io.ReadAll(o.Stream())
		if e, ok := errors.AsType[*awss3.Error](err); !ok || e.Reason != awss3.Changed {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("written anew")
	if _, err := server.Client().DeleteObject(t.Context(), &awss.DeleteObjectInput{Bucket: &server.Bucket, Key: new("object")}); err != nil {
		t.Fatal(err)
	}
	check("removed")
}
