package settings

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Common are the settings that every process has.
type Common struct {
	NATS
	Log
	Process
}

// NATS says how a process connects to the broker.
type NATS struct {
	URL         string `envconfig:"FFF_NATS_URL" default:"nats://127.0.0.1:4222" desc:"URL of the NATS servers, several separated by commas."`
	Creds       string `envconfig:"FFF_NATS_CREDS" file:"true" desc:"Credentials file (JWT and seed) of the NATS user."`
	TLSCA       string `envconfig:"FFF_NATS_TLS_CA" file:"true" desc:"PEM file of the authorities that sign the NATS servers' certificates; the system's are used when unset."`
	TLSCert     string `envconfig:"FFF_NATS_TLS_CERT" file:"true" desc:"PEM file of the client certificate; needs FFF_NATS_TLS_KEY."`
	TLSKey      string `envconfig:"FFF_NATS_TLS_KEY" file:"true" desc:"PEM file of the client certificate's key; needs FFF_NATS_TLS_CERT."`
	InboxPrefix string `envconfig:"FFF_NATS_INBOX_PREFIX" default:"_INBOX" desc:"Prefix of the reply subjects; set it where users may subscribe to their own inbox only."`
}

// Validate checks what the fields say together.
func (c *NATS) Validate() error {
	for one := range strings.SplitSeq(c.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || !validScheme(u.Scheme) {
			return &Error{"FFF_NATS_URL", c.URL, fmt.Sprintf("%q is no URL of a NATS server", one), "write it as nats://host:4222, tls://host:4222 or wss://host:443"}
		}
	}
	if c.TLSCert != "" && c.TLSKey == "" {
		return &Error{"FFF_NATS_TLS_KEY", "", "the client certificate has no key", "set it to the key of FFF_NATS_TLS_CERT"}
	}
	if c.TLSKey != "" && c.TLSCert == "" {
		return &Error{"FFF_NATS_TLS_CERT", "", "the key has no client certificate", "set it to the certificate of FFF_NATS_TLS_KEY"}
	}
	if c.InboxPrefix == "" || strings.ContainsAny(c.InboxPrefix, "*> \t") || strings.HasSuffix(c.InboxPrefix, ".") {
		return &Error{"FFF_NATS_INBOX_PREFIX", c.InboxPrefix, "no subject prefix", "write it as _INBOX.writer, without wildcards, spaces or a dot at the end"}
	}
	return nil
}

func validScheme(s string) bool {
	return s == "nats" || s == "tls" || s == "ws" || s == "wss"
}

// Log says what is logged and how.
type Log struct {
	Level  string `envconfig:"FFF_LOG_LEVEL" default:"info" oneof:"trace|debug|info|warn|error" desc:"Least level that is logged; fff itself uses warn when unset."`
	Format string `envconfig:"FFF_LOG_FORMAT" default:"json" oneof:"json|console" desc:"Form of the log lines on stderr; fff itself uses console when unset."`
}

// DefaultHTTPAddr is where a service listens when FFF_HTTP_ADDR is not set.
const DefaultHTTPAddr = ":8080"

// Process holds what a process has around its work.
type Process struct {
	HTTPAddr      string        `envconfig:"FFF_HTTP_ADDR" desc:"Address of /healthz, /readyz and /metrics, as host:port, or off. When unset a service uses :8080 and fff serves none."`
	ShutdownGrace time.Duration `envconfig:"FFF_SHUTDOWN_GRACE" default:"30s" min:"0s" max:"1h" desc:"How long work in flight may take to finish after SIGTERM; what remains is given back to the queue."`
	CPUProfile    string        `envconfig:"FFF_CPU_PROFILE" desc:"File to which a CPU profile is written, from the start of the services to their end; go tool pprof reads it. None when unset."`
}

// HTTPOff is the value of FFF_HTTP_ADDR that serves nothing.
const HTTPOff = "off"

// Validate checks the address.
func (c *Process) Validate() error {
	if c.HTTPAddr == "" || c.HTTPAddr == HTTPOff {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
		return &Error{"FFF_HTTP_ADDR", c.HTTPAddr, "no address", "write it as :8080 or 127.0.0.1:8080, or off"}
	}
	return nil
}
