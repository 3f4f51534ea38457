package awsdynamodb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/fastfeaturefetch/fff/shared/plainhttp"
)

const asked = `{"RequestItems":{"features":{"Keys":[{"user_id":{"S":"u1"}}]}}}`

// newTestClient gives a client of a server, and its URL.
func newTestClient(t *testing.T, handler http.HandlerFunc) (*Client, *url.URL) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := New(t.Context(), Config{Endpoint: server.URL + "/below", DummyCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return client, u
}

// What is reached with TLS or over a proxy goes through net/http's transport, and is asked
// the same.
func TestBothWaysAskTheSame(t *testing.T) {
	var mu sync.Mutex
	var got []string
	client, u := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, name := range []string{"X-Amz-Date", "Authorization"} { // of two seconds, perhaps
			if r.Header.Get(name) == "" {
				t.Errorf("no header %s", name)
			}
			r.Header.Del(name)
		}
		mu.Lock()
		got = append(got, fmt.Sprint(r.Method, r.RequestURI, r.Host, r.ContentLength, r.TransferEncoding, r.Header, string(body)))
		mu.Unlock()
		io.WriteString(w, "{}")
	})
	for _, host := range []*plainhttp.Host{plainhttp.New(u, time.Second), nil} {
		client.templates.Clear()
		client.hosts.Store(u.Host, host)
		if answer, err := client.BatchGet(t.Context(), "features", []byte(asked), nil, nil); err != nil || string(answer) != "{}" {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	if got[0] != got[1] {
		t.Errorf("plain: %s\nnet/http: %s", got[0], got[1])
	}
	if !strings.Contains(got[0], "POST/below") || !strings.Contains(got[0], asked) {
		t.Error(got[0])
	}
}

// Each call is signed with what the SDK's credentials are then.
func TestCredentialsThatAreRenewed(t *testing.T) {
	var keys, tokens []string
	client, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		key, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/")
		keys, tokens = append(keys, key), append(tokens, r.Header.Get("X-Amz-Security-Token"))
		io.WriteString(w, "{}")
	})
	n := 0
	client.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if n++; n == 3 {
			return aws.Credentials{}, errors.New("nobody gives any")
		}
		return aws.Credentials{AccessKeyID: fmt.Sprint("key", n), SecretAccessKey: "s", SessionToken: fmt.Sprint("token", n)}, nil
	})
	for range 2 {
		if _, err := client.BatchGet(t.Context(), "features", []byte(asked), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(keys, tokens) != "[key1 key2] [token1 token2]" {
		t.Error(keys, tokens)
	}
	if _, err := client.BatchGet(t.Context(), "features", []byte(asked), nil, nil); err == nil || err.Error() != "AWS credentials: nobody gives any" {
		t.Errorf("the error is %v", err)
	}
}

// A clock that is wrong is corrected by what DynamoDB answers to its signature.
func TestClockThatIsWrong(t *testing.T) {
	theirs := time.Now().Add(-time.Hour)
	var signed []time.Time
	client, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Error(err)
		}
		signed = append(signed, at)
		w.Header().Set("Date", theirs.UTC().Format(http.TimeFormat))
		if len(signed) == 2 {
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Age", "10")
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"x#InvalidSignatureException"}`)
	})
	for range 3 {
		if _, err := client.BatchGet(t.Context(), "features", []byte(asked), nil, nil); err == nil {
			t.Fatal("no error")
		}
	}
	near := func(a, b time.Time) bool { return a.Sub(b).Abs() < 10*time.Minute }
	if !near(signed[0], time.Now()) || !near(signed[1], theirs) || !near(signed[2], theirs) {
		t.Errorf("signed at %v; DynamoDB's time is %v", signed, theirs)
	}
}

// A template is the SDK's own request for the table, and is made anew after a while.
func TestTemplates(t *testing.T) {
	client, _ := newTestClient(t, func(http.ResponseWriter, *http.Request) {})
	first, err := client.template(t.Context(), "features", "key")
	if err != nil {
		t.Fatal(err)
	}
	if first.service != "dynamodb" || first.region != client.api.Options().Region || !strings.Contains(first.header.Get("User-Agent"), "api/dynamodb") {
		t.Errorf("%+v", first)
	}
	again := func(table, key string) *template {
		t.Helper()
		got, err := client.template(t.Context(), table, key)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if again("features", "key") != first {
		t.Error("it is made again for the same call")
	}
	if again("others", "key") == first || again("features", "another") == first {
		t.Error("tables or keys share it")
	}
	first = again("features", "key")
	first.until = time.Now()
	if again("features", "key") == first {
		t.Error("it is used for ever")
	}
}
