// Package release builds what benchmarks measure.
package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// FFF builds the command line, without the race detector, into a new directory, whose name
// begins with prefix and which the caller removes. After an error there is none.
func FFF(ctx context.Context, prefix string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", prefix); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir, "github.com/fastfeaturefetch/fff/services/fff/cmd/fff")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("build fff: %w", err)
	}
	return dir, nil
}
