package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3Module is the module of the S3 server, which is not ours and keeps objects as files.
const s3Module = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// What the S3 server is given, and what clients give it.
const (
	s3Key, s3Secret = "story", "story-secret"
	s3Region        = "us-east-1"
	s3Bucket        = "datasets"
)

// Latencies that stand between the clients and the S3 server.
const (
	uploadLatency = 100 * time.Millisecond // of a file, or a part of one
	smallLatency  = 10 * time.Millisecond  // of any other request
)

// s3Server is an S3 server in a process of its own, behind the latencies.
type s3Server struct {
	url     string
	cmd     *exec.Cmd
	proxy   *http.Server
	uploads atomic.Int64 // of files and parts of files
	others  atomic.Int64
	bytes   atomic.Int64 // of uploads
}

// installS3 builds the server.
func (p *programs) installS3(ctx context.Context) (string, error) {
	program := filepath.Join(p.dir, "versitygw")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	install := exec.CommandContext(ctx, "go", "install", s3Module)
	install.Dir, install.Env = p.dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+p.dir)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	return program, nil
}

// startS3 starts a server with an empty bucket.
func (p *programs) startS3(ctx context.Context) (*s3Server, error) {
	program, err := p.installS3(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(p.dir, "s3-")
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"data/" + s3Bucket, "meta"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &s3Server{cmd: exec.Command(program, "--port", addr, "--quiet", "--keep-alive", "--region", s3Region, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))}
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s3Key, "ROOT_SECRET_KEY="+s3Secret)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	client := newS3Client("http://" + addr)
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		bucket := s3Bucket
		_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(begin) > 30*time.Second {
			s.stop()
			return nil, fmt.Errorf("the S3 server does not answer: %w", err)
		}
	}
	if err := s.serve(&url.URL{Scheme: "http", Host: addr}); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// serve puts the latencies before the server.
func (s *s3Server) serve(to *url.URL) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + l.Addr().String()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	s.proxy = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(s.latency(r))
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = s.proxy.Serve(l) }()
	return nil
}

// latency counts a request and gives what it is held for.
func (s *s3Server) latency(r *http.Request) time.Duration {
	if isUpload(r) {
		s.uploads.Add(1)
		s.bytes.Add(max(r.ContentLength, 0))
		return uploadLatency
	}
	s.others.Add(1)
	return smallLatency
}

// isUpload tells whether a request carries a data file or a part of one.
func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/features/") && !strings.Contains(r.URL.Path, "/_")
}

func (s *s3Server) stop() {
	if s.proxy != nil {
		_ = s.proxy.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // that it was stopped
}

// freeAddr gives an address of the loopback interface that nobody has now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
