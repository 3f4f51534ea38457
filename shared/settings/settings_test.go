package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/settings"
)

type inner struct {
	Retries int `envconfig:"FFF_T_RETRIES" default:"3" min:"1" max:"9" desc:"How often."`
}

type group struct {
	inner
	Buffer  settings.Bytes `envconfig:"FFF_T_BUFFER" default:"64MiB" min:"1MiB" desc:"Room."`
	Linger  time.Duration  `envconfig:"FFF_T_LINGER" default:"50ms" max:"5s" desc:"Wait."`
	Mode    string         `envconfig:"FFF_T_MODE" default:"a" oneof:"a|b" desc:"Mode."`
	On      bool           `envconfig:"FFF_T_ON" desc:"Switch."`
	Ratio   float64        `envconfig:"FFF_T_RATIO" default:"0.5" max:"1" desc:"Share."`
	Limit   uint16         `envconfig:"FFF_T_LIMIT" default:"7" unit:"requests" desc:"Bound."`
	Cert    string         `envconfig:"FFF_T_CERT" file:"true" desc:"File."`
	private int
}

func TestDefaultsAndValues(t *testing.T) {
	t.Setenv("FFF_T_LINGER", "1s")
	t.Setenv("FFF_T_ON", "true")
	var g group
	if err := settings.Load(&g); err != nil {
		t.Fatal(err)
	}
	if g.Buffer != 64<<20 || g.Linger != time.Second || g.Mode != "a" || !g.On || g.Ratio != 0.5 || g.Limit != 7 || g.Cert != "" || g.private != 0 {
		t.Errorf("got %+v", g)
	}
	var d group
	if err := settings.Defaults(&d); err != nil {
		t.Fatal(err)
	}
	if d.Linger != 50*time.Millisecond || d.On || d.Buffer != 64<<20 {
		t.Errorf("defaults are %+v", d)
	}
}

func TestErrorsNameTheVariableAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ variable, value, want string }{
		{"FFF_T_LIMIT", "x", `FFF_T_LIMIT="x": not an integer; give an integer`},
		{"FFF_T_LIMIT", "70000", `FFF_T_LIMIT="70000": not an integer; give an integer`},
		{"FFF_T_BUFFER", "1", `FFF_T_BUFFER="1": too small; give a size such as 64MiB of at least 1MiB`},
		{"FFF_T_BUFFER", "many", `FFF_T_BUFFER="many": not a size; give a size such as 64MiB of at least 1MiB`},
		{"FFF_T_LINGER", "5", `FFF_T_LINGER="5": not a duration; give a duration such as 30s or 5m of at most 5s`},
		{"FFF_T_LINGER", "6s", `FFF_T_LINGER="6s": too large; give a duration such as 30s or 5m of at most 5s`},
		{"FFF_T_MODE", "c", `FFF_T_MODE="c": unknown value; use one of a, b`},
		{"FFF_T_ON", "yes", `FFF_T_ON="yes": not a bool; give a bool: true or false`},
		{"FFF_T_RATIO", "1.5", `FFF_T_RATIO="1.5": too large; give a number of at most 1`},
		{"FFF_T_CERT", "/no/such.pem", `FFF_T_CERT="/no/such.pem": cannot be read (no such file or directory); name a file that this process can read, or unset it`},
		{"FFF_T_CERT", dir, `FFF_T_CERT="` + dir + `": is a directory; name a file that this process can read, or unset it`},
	} {
		t.Run(c.variable+"="+c.value, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			if err := settings.Load(&group{}); err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestEveryWrongSettingIsNamed(t *testing.T) {
	t.Setenv("FFF_T_LIMIT", "x")
	t.Setenv("FFF_T_MODE", "c")
	err := settings.Load(&group{})
	if err == nil || !strings.Contains(err.Error(), "FFF_T_LIMIT") || !strings.Contains(err.Error(), "FFF_T_MODE") {
		t.Errorf("got %v", err)
	}
}

func TestCommon(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "c.pem")
	if err := os.WriteFile(pem, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // "" = accepted
	}{
		{"nothing set", nil, ""},
		{"several servers", map[string]string{"FFF_NATS_URL": "nats://a:4222, tls://b:4222"}, ""},
		{"no scheme", map[string]string{"FFF_NATS_URL": "localhost:4222"}, "FFF_NATS_URL"},
		{"empty url", map[string]string{"FFF_NATS_URL": ""}, "FFF_NATS_URL"},
		{"certificate without key", map[string]string{"FFF_NATS_TLS_CERT": pem}, "FFF_NATS_TLS_KEY"},
		{"key without certificate", map[string]string{"FFF_NATS_TLS_KEY": pem}, "FFF_NATS_TLS_CERT"},
		{"wildcard inbox", map[string]string{"FFF_NATS_INBOX_PREFIX": "a.>"}, "FFF_NATS_INBOX_PREFIX"},
		{"level", map[string]string{"FFF_LOG_LEVEL": "loud"}, "FFF_LOG_LEVEL"},
		{"address", map[string]string{"FFF_HTTP_ADDR": "8080"}, "FFF_HTTP_ADDR"},
		{"address off", map[string]string{"FFF_HTTP_ADDR": "off"}, ""},
		{"grace", map[string]string{"FFF_SHUTDOWN_GRACE": "-1s"}, "FFF_SHUTDOWN_GRACE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			err := settings.Load(&settings.Common{})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want+"=")):
				t.Errorf("got %v, want an error about %s", err, c.want)
			case err != nil && strings.Count(err.Error(), "\n") > 0:
				t.Errorf("said more than once: %v", err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Setenv("FFF_T_MODE", "b")
	all, err := settings.Describe(settings.Group{Title: "one", Spec: &group{}}, settings.Group{Title: "two", Spec: &inner{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 8 {
		t.Fatalf("%d settings, want 8 without the shared one again", len(all))
	}
	want := settings.Setting{Group: "one", Variable: "FFF_T_MODE", Type: "string", Default: "a", Allowed: "a, b", Description: "Mode.", Value: "b", Set: true}
	if all[3] != want {
		t.Errorf("got  %+v\nwant %+v", all[3], want)
	}
	if all[1].Allowed != "of at least 1MiB" || all[1].Type != "size" {
		t.Errorf("got %+v", all[1])
	}
}

func TestUnknown(t *testing.T) {
	got, err := settings.Unknown([]string{"FFF_T_ON=1", "FFF_T_OM=1", "PATH=/", "FFF_A=2"}, "FFF_", settings.Group{Spec: &group{}})
	if err != nil || strings.Join(got, " ") != "FFF_A FFF_T_OM" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWrongStructsAreRefused(t *testing.T) {
	type untold struct {
		A int `envconfig:"FFF_T_A"`
	}
	for _, spec := range []any{group{}, nil, (*group)(nil), new(int), &untold{}} {
		if err := settings.Load(spec); err == nil {
			t.Errorf("%T was accepted", spec)
		}
	}
}

func FuzzBytes(f *testing.F) {
	for _, s := range []string{"0", "1", "64MiB", "4GB", "1.5KiB", "-1", "9EiB", "1e3", "KB", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := settings.ParseBytes(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q gives %d", s, b)
		}
		if again, err := settings.ParseBytes(b.String()); err != nil || again != b {
			t.Fatalf("%q = %d prints %s, which reads %d, %v", s, b, b, again, err)
		}
	})
}
