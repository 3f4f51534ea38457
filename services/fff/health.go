package fff

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/settings"
)

// healthCmd asks a service whether it is ready. It serves where no other program is at
// hand: the health checks of containers that hold nothing else.
type healthCmd struct {
	URL     string        `arg:"" optional:"" help:"URL that answers 200 when all is well; /readyz at FFF_HTTP_ADDR when left out."`
	Timeout time.Duration `default:"4s" help:"How long to wait for the answer."`
}

// maxHealthBytes bounds what is read of an answer, which is a word.
const maxHealthBytes = 1 << 10

// Run is called by kong.
func (c *healthCmd) Run(a *app) error {
	target := c.URL
	if target == "" {
		var p settings.Process
		if err := settings.Load(&p); err != nil {
			return err
		}
		if p.HTTPAddr == settings.HTTPOff {
			return usage("FFF_HTTP_ADDR is off, so the service here cannot be asked; give a URL")
		}
		target = readyURL(cmp.Or(p.HTTPAddr, settings.DefaultHTTPAddr))
	}
	ctx, cancel := context.WithTimeout(a.soft, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return usage("%s: %w", target, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthBytes))
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	said := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %s", target, response.Status, said)
	}
	_, err = fmt.Fprintln(a.stdout, said)
	return err
}

// readyURL gives the probe of a service that listens on addr, a valid host:port. One that
// listens everywhere is asked on the loopback.
func readyURL(addr string) string {
	host, port, _ := net.SplitHostPort(addr) // settings have checked it
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/readyz"}).String()
}
