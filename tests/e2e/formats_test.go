package e2e

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// However the records come, the dataset is the same.
func TestRecordsInEveryFormat(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 60)
	families := j.File(t).FamilyIDs()
	for i := range j.Records {
		if i%4 == 0 {
			j.Records[i].Families = []string{families[i%len(families)], families[(i+5)%len(families)]}
		}
		if i%3 == 0 {
			j.Records[i].Country = []string{"KE", "Côte d'Ivoire; \"A\""}[i%2]
		}
	}
	b := harness.NewBackends(t, j)
	lines := harness.Lines(j.Records)
	var want map[harness.Cell]string
	for _, format := range []struct {
		name, stdin string
		data        []byte
	}{
		{name: "records.jsonl", data: lines},
		{name: "records.csv", data: asCSV(t, j.Records)},
		{name: "records.parquet", data: asParquet(t, j.Records)},
		{name: "-", stdin: string(lines)},
	} {
		t.Run(format.name, func(t *testing.T) {
			j.Out = t.TempDir()
			path := format.name
			if path != "-" {
				path = filepath.Join(t.TempDir(), format.name)
				if err := os.WriteFile(path, format.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := b.FeatureService.Stats().WithAttributes
			harness.StartWith(t, format.stdin, j.Settings(), "run", "-f", j.RunFile(t), "--records", path).Wait(t).Expect(t, 0)
			if path == "-" {
				path = j.JSONL(t)
			}
			harness.Run(t, nil, "verify", j.Dataset(), "--records", path).Expect(t, 0)
			got, err := harness.Rows(t.Context(), j.Dataset())
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				j.Prove(t, nil)
				want = got
			}
			if !maps.Equal(got, want) {
				t.Errorf("the dataset differs from that of JSONL: %s", firstDifference(want, got))
			}
			if b.FeatureService.Stats().WithAttributes == before {
				t.Error("no attributes came to the feature service")
			}
		})
	}
}

func firstDifference(want, got map[harness.Cell]string) string {
	for c, row := range want {
		if got[c] != row {
			return fmt.Sprintf("%+v is %q, not %q", c, got[c], row)
		}
	}
	return fmt.Sprintf("%d cells, not %d", len(got), len(want))
}

func asCSV(t *testing.T, records []harness.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"note", "pitc_timestamp", "user_id", "attributes.country", "feature_families"}}
	for i, r := range records {
		at := harness.FormatTime(r.EpochMS)
		if i%2 == 0 {
			at = fmt.Sprint(r.EpochMS)
		}
		rows = append(rows, []string{"a column\nof its own", at, r.UserID, r.Country, strings.Join(r.Families, ";")})
	}
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asParquet writes records with a Parquet writer that is not the system's.
func asParquet(t *testing.T, records []harness.Record) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "user_id", Type: arrow.BinaryTypes.String},
		{Name: "pitc_timestamp", Type: arrow.FixedWidthTypes.Timestamp_ms},
		{Name: "feature_families", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
		{Name: "attributes.country", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	families := rows.Field(2).(*array.ListBuilder)
	for _, r := range records {
		rows.Field(0).(*array.StringBuilder).Append(r.UserID)
		rows.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(r.EpochMS))
		families.Append(r.Families != nil)
		families.ValueBuilder().(*array.StringBuilder).AppendValues(r.Families, nil)
		if country := rows.Field(3).(*array.StringBuilder); r.Country == "" {
			country.AppendNull()
		} else {
			country.Append(r.Country)
		}
	}
	batch := rows.NewRecordBatch()
	defer batch.Release()
	var b bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &b, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
