package engines

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// engine is a DynamoDB engine that npm has.
type engine struct {
	name, npm string
	// command gives the program and its arguments; modules is the folder that npm filled.
	command func(modules, port string) []string
}

var others = []engine{
	{"dynoxide", "@dynoxide/linux-x64@1.2.1", func(modules, port string) []string {
		return []string{filepath.Join(modules, "@dynoxide", "linux-x64", "dynoxide"), "--host", "127.0.0.1", "--port", port}
	}},
	{"dynalite", "dynalite@4.0.0", func(modules, port string) []string {
		return []string{"node", filepath.Join(modules, "dynalite", "cli.js"), "--host", "127.0.0.1", "--port", port, "--createTableMs", "0"}
	}},
}

// start starts the engine, empty and in memory, and gives its URL. The port that was free
// may be taken by the time that the engine listens; then it is tried with another.
func (e *engine) start(t *testing.T) string {
	t.Helper()
	modules := filepath.Join(harness.NPM(t, "THE SYSTEM IS NOT RUN ON "+strings.ToUpper(e.name), e.npm), "node_modules")
	for range 5 {
		port := freePort(t)
		command := e.command(modules, port)
		p := harness.StartProgram(t, nil, command[0], command[1:]...)
		url := "http://127.0.0.1:" + port
		up := false
		harness.Await(t, e.name+" answers or ends", func() bool {
			select {
			case <-p.Ended():
				return true
			default:
			}
			_, err := Client(url).ListTables(t.Context(), &dynamodb.ListTablesInput{})
			up = err == nil
			return up
		})
		if up {
			return url
		}
	}
	t.Fatalf("%s does not start; its output is below", e.name)
	return ""
}

// freePort gives a port of the loopback that nobody listens on. These engines cannot say
// which one they took.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
