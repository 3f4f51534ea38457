// Command fill-engine copies what a job asks DynamoDB for from the sandbox, or from any
// other engine, into an engine of one's own.
//
//	fff sandbox -f examples/run.yaml &
//	npx dynalite --port 4567 &
//	go run ./tests/engines/cmd/fill-engine -f examples/run.yaml -records examples/records.jsonl -from http://127.0.0.1:8000 -to http://127.0.0.1:4567
//	AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:4567 fff run -f examples/run.yaml --records examples/records.jsonl
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/tests/engines"
)

func main() {
	source := flag.String("f", "", "run file")
	records := flag.String("records", "", "records file")
	from := flag.String("from", "http://127.0.0.1:8000", "URL of the engine that has the items")
	to := flag.String("to", "", "URL of the engine to fill")
	flag.Parse()
	items, err := fill(*source, *records, *from, *to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill-engine:", err)
		os.Exit(1)
	}
	fmt.Println(items, "items")
}

func fill(source, records, from, to string) (int, error) {
	data, err := os.ReadFile(source)
	if err != nil {
		return 0, err
	}
	file, err := runfile.Parse(source, data)
	if err != nil {
		return 0, err
	}
	if file, err = file.Expand(os.LookupEnv); err != nil {
		return 0, err
	}
	return engines.Copy(context.Background(), engines.Client(from), engines.Client(to), file, engines.Records(file, records))
}
