package featureservice

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/plainhttp"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

const good = `{"features":{"a":{"x":1}}}`

// scripted is a server that reads requests and answers each on a connection with the next of
// some texts, which it sends as they are. It closes the connection behind the last.
func scripted(t *testing.T, texts ...string) (run *stage.Run, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for _, text := range texts {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, request.Body)
					io.WriteString(c, text)
				}
			}()
		}
	}()
	return runOn("http://" + l.Addr().String()), connections
}

// What answers look like on the wire, and how many connections two requests one after the
// other take.
func TestAnswersOnTheWire(t *testing.T) {
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(good), good)
	for name, tc := range map[string]struct {
		texts       []string
		connections int64
	}{
		"with a length":            {[]string{whole, whole, whole}, 1},
		"in chunks":                {[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + good[:5] + "\r\n" + fmt.Sprintf("%x", len(good)-5) + "\r\n" + good[5:] + "\r\n0\r\n\r\n", whole, whole}, 1},
		"up to the end":            {[]string{"HTTP/1.1 200 OK\r\n\r\n" + good}, 2},
		"of HTTP/1.0":              {[]string{strings.Replace(whole, "1.1", "1.0", 1)}, 2},
		"and no more":              {[]string{strings.Replace(whole, "OK\r\n", "OK\r\nConnection: close\r\n", 1)}, 2},
		"behind early hints":       {[]string{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole, whole, whole}, 1},
		"before one nobody wanted": {[]string{whole + "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", whole}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			run, connections := scripted(t, tc.texts...)
			lane := newLane(t, &slots{})
			for range 2 {
				var out outputs
				if got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &out)); len(got) != 0 {
					t.Fatal(got)
				}
				if v := out.values(t, request("a")); v["a"]["x"] != "int64 1" {
					t.Error(v)
				}
			}
			if n := connections.Load(); n != tc.connections {
				t.Errorf("%d connections, want %d", n, tc.connections)
			}
		})
	}
}

func TestHeaderOfAnswerIsBounded(t *testing.T) {
	run, _ := scripted(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*plainhttp.HeaderBytes)+"\r\n\r\n")
	got := plain(newLane(t, &slots{}).Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{}))
	if len(got) != 1 || got[0].code != failure.Unreachable || got[0].reason != plainhttp.ErrHeaderTooLarge.Error() {
		t.Errorf("%v", got)
	}
}
