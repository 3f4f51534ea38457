package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// serialConfig says what the client "serial" fetches.
type serialConfig struct {
	DynamoDB, FeatureService string
	Samples                  int
	Dir                      string
}

// groupSize is how many families the original asked for in a request.
const groupSize = 3

// serialClient is a baseline and no part of the system: the way of the serial original, one
// thing after another. For each sample and each three families it makes a client, looks
// them up, makes another client for those that are missing, and appends the rows to a
// file a family before it goes on. Rows are lines of JSON, and nothing is synced.
func serialClient(ctx context.Context, cfg serialConfig) (*fetched, error) {
	said := &fetched{}
	for n := range cfg.Samples {
		for first := 0; first < families; first += groupSize {
			var group []string
			for id := first; id < min(first+groupSize, families); id++ {
				group = append(group, familyID(id))
			}
			rows, err := lookUp(ctx, cfg.DynamoDB, userID(n), group)
			if err != nil {
				return nil, err
			}
			group = slices.DeleteFunc(group, func(id string) bool { return rows[id] != nil })
			if len(group) > 0 {
				more, err := compute(ctx, cfg.FeatureService, userID(n), group)
				if err != nil {
					return nil, err
				}
				for id, row := range more {
					rows[id] = row
				}
			}
			if err := appendRows(cfg.Dir, userID(n), rows); err != nil {
				return nil, err
			}
			said.Cells += int64(len(rows))
		}
	}
	if want := int64(cfg.Samples * families); said.Cells != want {
		return nil, fmt.Errorf("%d cells, want %d", said.Cells, want)
	}
	return said, nil
}

// lookUp gives the items that there are, by family.
func lookUp(ctx context.Context, endpoint, user string, group []string) (map[string]map[string]any, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint, Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(s3Key, s3Secret, ""),
	})
	var keys []map[string]types.AttributeValue
	for _, id := range group {
		keys = append(keys, map[string]types.AttributeValue{
			"user_id":     &types.AttributeValueMemberS{Value: user},
			"feature_key": &types.AttributeValueMemberS{Value: id + "#" + pitcTimestamp.Format(time.RFC3339)},
		})
	}
	out, err := client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"features": {Keys: keys}}})
	if err != nil {
		return nil, err
	}
	rows := map[string]map[string]any{}
	for _, item := range out.Responses["features"] {
		row := map[string]any{}
		id := ""
		for name, value := range item {
			switch v := value.(type) {
			case *types.AttributeValueMemberN:
				row[name] = json.Number(v.Value)
			case *types.AttributeValueMemberBOOL:
				row[name] = v.Value
			case *types.AttributeValueMemberS:
				if name == "feature_key" {
					id, _, _ = strings.Cut(v.Value, "#")
				}
				row[name] = v.Value
			}
		}
		rows[id] = row
	}
	return rows, nil
}

// compute asks the feature service for families of a user.
func compute(ctx context.Context, url, user string, group []string) (rows map[string]map[string]any, err error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(map[string]any{"user_id": user, "pitc_timestamp": pitcTimestamp.Format(time.RFC3339), "feature_families": group})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var got struct {
		Features map[string]map[string]any `json:"features"`
	}
	if err := json.Unmarshal(text, &got); err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the feature service answers %s: %s", answer.Status, text[:min(len(text), 200)])
	}
	return got.Features, nil
}

// appendRows appends a row to the file of each family.
func appendRows(dir, user string, rows map[string]map[string]any) error {
	for id, row := range rows {
		row["user_id"], row["pitc_timestamp"] = user, pitcTimestamp
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, id+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(append(line, '\n'))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
