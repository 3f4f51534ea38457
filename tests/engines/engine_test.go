package engines

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/fastfeaturefetch/fff/shared/testport"
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

// start starts the engine, empty and in memory, and gives its URL. The engines cannot say
// which port they took, so they are told one.
func (e *engine) start(t *testing.T) string {
	t.Helper()
	modules := filepath.Join(harness.NPM(t, "THE SYSTEM IS NOT RUN ON "+strings.ToUpper(e.name), e.npm), "node_modules")
	port := testport.Free(t)
	command := e.command(modules, strconv.Itoa(port))
	p := harness.StartProgram(t, nil, command[0], command[1:]...)
	url := "http://" + testport.Addr(port)
	harness.Await(t, e.name+" answers", func() bool {
		select {
		case <-p.Ended():
			t.Fatalf("%s has ended; its output is below", e.name)
		default:
		}
		_, err := Client(url).ListTables(t.Context(), &dynamodb.ListTablesInput{})
		return err == nil
	})
	return url
}
