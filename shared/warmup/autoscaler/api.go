// Package autoscaler raises the minReplicas of a Kubernetes HorizontalPodAutoscaler, which
// unlike sample requests is deterministic, and restores it.
//
// It speaks to the API server over plain HTTP with a bearer token: from inside the cluster
// with the pod's service account, from outside through `kubectl proxy` or with a URL and a
// token file of one's own. It reads no kubeconfig, whose plugins and certificates need the
// whole of Kubernetes' client.
package autoscaler

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// Where a pod finds its service account.
const (
	accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenFile  = accountDir + "/token"
	caFile     = accountDir + "/ca.crt"
)

// Bounds of a call.
const (
	callTimeout    = 15 * time.Second
	maxAnswerBytes = 4 << 20
)

// Config says where the API server is. Its zero value is the pod's own cluster.
type Config struct {
	URL       string `envconfig:"FFF_KUBERNETES_URL" desc:"URL of the Kubernetes API server, for feature_service.hpa; the pod's own cluster when empty. From outside, kubectl proxy serves http://127.0.0.1:8001."`
	TokenFile string `envconfig:"FFF_KUBERNETES_TOKEN_FILE" desc:"File with the bearer token for it, read anew for every call; the pod's service account when the URL is empty, none otherwise."`
	CAFile    string `envconfig:"FFF_KUBERNETES_CA_FILE" desc:"PEM file with the certificates that it is trusted by; the pod's service account's when the URL is empty, the system's otherwise."`
}

// server is an API server that can be called.
type server struct {
	url       string
	tokenFile string
	client    *http.Client
}

func connect(cfg Config) (*server, error) {
	if cfg.URL == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, errors.New("no Kubernetes API server is known: this is no pod; set FFF_KUBERNETES_URL, for example to that of kubectl proxy")
		}
		cfg.URL = "https://" + net.JoinHostPort(host, port)
		if cfg.TokenFile == "" {
			cfg.TokenFile = tokenFile
		}
		if cfg.CAFile == "" {
			cfg.CAFile = caFile
		}
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("FFF_KUBERNETES_URL=%s is no URL; write one like https://10.0.0.1:6443", cfg.URL)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates of the Kubernetes API server: %w", err)
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", cfg.CAFile)
		}
	}
	return &server{
		url: strings.TrimSuffix(cfg.URL, "/"), tokenFile: cfg.TokenFile,
		client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust}},
	}, nil
}

// call makes one call; in is a merge patch, or nil to get the object.
func (s *server) call(ctx context.Context, path string, in, out any) error {
	method, body := http.MethodGet, io.Reader(nil)
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		method, body = http.MethodPatch, bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if s.tokenFile != "" {
		token, err := os.ReadFile(s.tokenFile) // tokens are renewed while we run
		if err != nil {
			return fmt.Errorf("token for the Kubernetes API server: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("Kubernetes API server: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("Kubernetes API server: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(answer, out)
	case http.StatusNotFound:
		return warmup.ErrGone
	}
	var status struct{ Message string }
	_ = json.Unmarshal(answer, &status) // what has no message is told by its status alone
	return fmt.Errorf("Kubernetes API server: %s: %s", response.Status, status.Message)
}
