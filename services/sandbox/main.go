package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Main runs a sandbox with the settings of the environment, for the run file that is
// its only argument or for none, until ctx ends. It writes to out where it listens.
func Main(ctx context.Context, args []string, out io.Writer) error {
	var cfg Config
	if err := settings.Load(&cfg); err != nil {
		return err
	}
	f, err := readRunFile(args)
	if err != nil {
		return err
	}
	s, err := New(cfg, f)
	if err != nil {
		return err
	}
	return s.Run(ctx, func(at Endpoints) {
		fmt.Fprintf(out, "AWS_ENDPOINT_URL_DYNAMODB=%s\nAWS_ENDPOINT_URL_RDS=%s\nfeature_service.url: %s\n", at.DynamoDB, at.RDS, at.FeatureService)
	})
}

// readRunFile reads the run file that the arguments name, or gives nil if they name none.
func readRunFile(args []string) (*runfile.File, error) {
	switch len(args) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, errors.New("give one run file, or none")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	f, err := runfile.Parse(args[0], data)
	if err != nil {
		return nil, err
	}
	return f.Expand(os.LookupEnv)
}
