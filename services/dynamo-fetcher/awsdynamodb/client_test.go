package awsdynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/awsdynamodb"
)

// newClient gives a client of a server, with an environment that has no AWS in it.
func newClient(t testing.TB, handler http.HandlerFunc, cfg awsdynamodb.Config) *awsdynamodb.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg.Endpoint = server.URL
	cfg.DummyCredentials = true
	client, err := awsdynamodb.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(body))))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

const request = `{"RequestItems":{"features":{"Keys":[{"user_id":{"S":"u1"}}]}}}`

func TestBodiesTravelAsTheyAre(t *testing.T) {
	const body = `{"Responses":{"features":[]}}`
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != request {
			t.Errorf("request body is %q, %v", got, err)
		}
		if r.Method != http.MethodPost || r.URL.Path != "/" || r.ProtoMajor != 1 {
			t.Errorf("request is %s %s %s", r.Method, r.URL.Path, r.Proto)
		}
		for header, want := range map[string]string{
			"X-Amz-Target":    "DynamoDB_20120810.BatchGetItem",
			"Content-Type":    "application/x-amz-json-1.0",
			"Accept-Encoding": "identity",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		if auth := r.Header.Get("Authorization"); !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=sandbox/") {
			t.Errorf("Authorization is %q", auth)
		}
		answer(w, http.StatusOK, body)
	}, awsdynamodb.Config{})
	got, err := client.BatchGet(t.Context(), "features", []byte(request), []byte("before "), nil)
	if err != nil || string(got) != "before "+body {
		t.Errorf("answer is %q, %v", got, err)
	}
}

func TestErrorsThatDynamoDBAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
		code   string
	}{
		{"with a type", 400, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}`, "ResourceNotFoundException: no table", "ResourceNotFoundException"},
		{"capital message", 400, `{"__type":"com.amazon.coral.validate#ValidationException","Message":"bad key"}`, "ValidationException: bad key", "ValidationException"},
		{"without a message", 400, `{"__type":"AccessDeniedException"}`, "AccessDeniedException", "AccessDeniedException"},
		{"throttled", 400, `{"__type":"x#ProvisionedThroughputExceededException","message":"slow","throttlingReasons":[{"reason":"TableReadProvisionedThroughputExceeded","resource":"arn"}]}`, "ProvisionedThroughputExceededException (TableReadProvisionedThroughputExceeded): slow", "ProvisionedThroughputExceededException"},
		{"throttled, capital", 400, `{"__type":"x#ThrottlingException","ThrottlingReasons":[{"reason":"AccountLimit"}]}`, "ThrottlingException (AccountLimit)", "ThrottlingException"},
		{"internal", 500, `{"__type":"x#InternalServerError","message":"oops"}`, "InternalServerError: oops", "InternalServerError"},
		{"a proxy's page", 502, `<html>`, "HTTP 502 Bad Gateway", "HTTP 502 Bad Gateway"},
		{"a redirect", 301, ``, "HTTP 301 Moved Permanently", "HTTP 301 Moved Permanently"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				answer(w, tt.status, tt.body)
			}, awsdynamodb.Config{})
			_, err := client.BatchGet(t.Context(), "features", []byte(request), nil, nil)
			e, ok := errors.AsType[*awsdynamodb.Error](err)
			if !ok {
				t.Fatalf("error is %v", err)
			}
			if e.Error() != tt.want || e.ErrorCode() != tt.code || e.HTTPStatus() != tt.status {
				t.Errorf("error is %q, code %q, status %d", e, e.ErrorCode(), e.HTTPStatus())
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls: the SDK tried again", n)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"damaged", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Crc32", "1")
			_, _ = io.WriteString(w, "{}")
		}, "damaged on its way"},
		{"checksum that is no number", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Crc32", "one")
		}, `checksum "one" is no number`},
		{"cut off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{}")
			panic(http.ErrAbortHandler)
		}, "EOF"},
		{"no answer", func(w http.ResponseWriter, r *http.Request) {
			panic(http.ErrAbortHandler)
		}, "EOF"},
		{"too large", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000000")
			panic(http.ErrAbortHandler)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := newClient(t, tt.handler, awsdynamodb.Config{})
			_, err := client.BatchGet(t.Context(), "features", []byte(request), nil, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if _, ok := errors.AsType[*awsdynamodb.Error](err); ok {
				t.Errorf("%v is taken for an error that DynamoDB answered", err)
			}
		})
	}
}

func TestACallThatTakesTooLong(t *testing.T) {
	release := make(chan struct{})
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) { <-release }, awsdynamodb.Config{Timeout: 20 * time.Millisecond})
	defer close(release)
	_, err := client.BatchGet(t.Context(), "features", []byte(request), nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("error is %v", err)
	}
}

func TestAContextThatEnds(t *testing.T) {
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-release }, awsdynamodb.Config{})
	defer close(release)
	if _, err := client.BatchGet(ctx, "features", []byte(request), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// A fast server answers before the client's write loop is done with the request. With
// the SDK's own body some of these calls fail.
func TestNoCallFailsAgainstAFastServer(t *testing.T) {
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, http.StatusOK, "{}")
	}, awsdynamodb.Config{MaxInFlight: 8})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var buffer []byte
			for range 100 {
				var err error
				if buffer, err = client.BatchGet(t.Context(), "features", []byte(request), buffer[:0], nil); err != nil {
					t.Errorf("call failed: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestConnectionsAreKept(t *testing.T) {
	var remotes sync.Map
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		remotes.Store(r.RemoteAddr, true)
		answer(w, http.StatusBadRequest, `{"__type":"x#ValidationException"}`)
	}, awsdynamodb.Config{})
	for range 20 {
		_, _ = client.BatchGet(t.Context(), "features", []byte(request), nil, nil)
	}
	n := 0
	remotes.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("20 calls one after the other used %d connections", n)
	}
}

func TestEndpointOfTheEnvironment(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential=AKIDTEST/") {
			t.Errorf("Authorization is %q", auth)
		}
		answer(w, http.StatusOK, "{}")
	}))
	defer server.Close()
	noAWS(t)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	client, err := awsdynamodb.New(t.Context(), awsdynamodb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.BatchGet(t.Context(), "features", []byte(request), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestWithoutARegion(t *testing.T) {
	noAWS(t)
	client, err := awsdynamodb.New(t.Context(), awsdynamodb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.BatchGet(t.Context(), "features", []byte(request), nil, nil)
	if _, ok := errors.AsType[*awsdynamodb.Error](err); !ok || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("error is %v", err)
	}
}

// noAWS takes away what the machine has of AWS.
func noAWS(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	none := t.TempDir() + "/none"
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
}
