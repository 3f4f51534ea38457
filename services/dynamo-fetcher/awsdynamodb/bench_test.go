package awsdynamodb_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/awsdynamodb"
)

// BenchmarkBatchGet makes calls of the size of 100 items with 60 features. Its CPU time
// includes the server's.
func BenchmarkBatchGet(b *testing.B) {
	body := `{"Responses":{"features":["` + strings.Repeat("x", 170<<10) + `"]}}`
	client := newClient(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, http.StatusOK, body)
	}, awsdynamodb.Config{})
	asked := []byte(strings.Repeat(" ", 10<<10) + request)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buffer, err = client.BatchGet(b.Context(), "features", asked, buffer[:0], nil); err != nil {
			b.Fatal(err)
		}
	}
}
