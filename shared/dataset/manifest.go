package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// manifestVersion is the version of the manifest's format.
const manifestVersion = 1

// Manifest is _manifest.json: what a run asked for, what became of it, and the files
// that hold it. A dataset without one is not finished.
type Manifest struct {
	Version     int    `json:"version"` // of the format; EncodeManifest sets it
	Run         string `json:"run"`
	State       string `json:"state"` // the run's state when it ended
	RunFile     string `json:"run_file"`
	RunFileHash string `json:"run_file_hash"`
	Broker      string `json:"broker,omitempty"` // identity of the broker of the system that wrote it, as in Owner

	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`

	Epochs    []ManifestEpoch  `json:"epochs"` // in order
	Records   ManifestRecords  `json:"records"`
	Cells     ManifestCells    `json:"cells"`    // over all families
	Families  []ManifestFamily `json:"families"` // in the order of the run file
	Files     []ManifestFile   `json:"files"`
	ReadUnits map[string]int64 `json:"read_units"`         // DynamoDB read request units by table
	Warnings  []string         `json:"warnings,omitempty"` // of the failure policy

	Versions map[string]string `json:"versions"` // see Versions
}

// ManifestEpoch is one time that the run was opened.
type ManifestEpoch struct {
	Epoch       uint64    `json:"epoch"`
	RunFileHash string    `json:"run_file_hash"`
	OpenedAt    time.Time `json:"opened_at"`
	SealedAt    time.Time `json:"sealed_at"`
}

// ManifestRecords counts the input.
type ManifestRecords struct {
	Seen    int64 `json:"seen"`
	Failed  int64 `json:"failed"` // bad ones, listed in _failures.jsonl
	Samples int64 `json:"samples"`
}

// ManifestCells counts cells.
type ManifestCells struct {
	Requested int64            `json:"requested"`
	Committed int64            `json:"committed"`
	Failed    int64            `json:"failed"`
	BySource  map[string]int64 `json:"by_source"`         // committed cells; keys "dynamodb", "feature_service"
	ByCode    map[string]int64 `json:"by_code,omitempty"` // failed cells
}

// ManifestFamily is one family's cells and its columns, the same in all its files.
type ManifestFamily struct {
	Family string `json:"family"`
	ManifestCells
	Columns []ManifestColumn `json:"columns"`
}

// ManifestColumn is a feature's column.
type ManifestColumn struct {
	Feature string       `json:"feature"`
	Name    string       `json:"name"`
	Type    runfile.Type `json:"type"`
}

// ManifestFile is one visible file.
type ManifestFile struct {
	Family   string `json:"family"`
	Name     string `json:"name"`
	Path     string `json:"path"` // in the dataset, with slashes; EncodeManifest sets it
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Checksum string `json:"checksum"` // XXH3, 128 bits, hexadecimal
}

// ManifestColumns gives columns as a manifest writes them.
func ManifestColumns(cols []FinalColumn) []ManifestColumn {
	out := make([]ManifestColumn, len(cols))
	for i, c := range cols {
		out[i] = ManifestColumn{Feature: c.Feature, Name: c.Name, Type: c.Type()}
	}
	return out
}

// FamilyIDs gives the run's families.
func (m *Manifest) FamilyIDs() []string {
	ids := make([]string, len(m.Families))
	for i := range m.Families {
		ids[i] = m.Families[i].Family
	}
	return ids
}

// EncodeManifest gives the content of _manifest.json.
func EncodeManifest(m *Manifest) ([]byte, error) {
	m.Version = manifestVersion
	for i := range m.Files {
		m.Files[i].Path = VisiblePath(m.Files[i].Family, m.Files[i].Name)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return b.Bytes(), nil
}

// DecodeManifest reads _manifest.json. Fields that this program does not know are ignored.
func DecodeManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return &m, nil
}

// check refuses what would mislead a reader: an unknown version, names that lead
// elsewhere, a file or a family twice, counts below zero.
func (m *Manifest) check() error {
	if m.Version != manifestVersion {
		return fmt.Errorf("format version %d; this program reads version %d", m.Version, manifestVersion)
	}
	families := make(map[string]bool, len(m.Families))
	for i := range m.Families {
		f := &m.Families[i]
		if err := CheckFamily(f.Family); err != nil {
			return fmt.Errorf("families[%d]: %w", i, err)
		}
		if families[f.Family] {
			return fmt.Errorf("families[%d]: family %q is listed twice", i, f.Family)
		}
		if min(f.Requested, f.Committed, f.Failed) < 0 {
			return fmt.Errorf("families[%d]: a count is below zero", i)
		}
		families[f.Family] = true
	}
	paths := make(map[string]bool, len(m.Files))
	for i := range m.Files {
		f := &m.Files[i]
		if err := CheckFileName(f.Name); err != nil {
			return fmt.Errorf("files[%d]: %w", i, err)
		}
		if !families[f.Family] {
			return fmt.Errorf("files[%d]: family %q is not among the families", i, f.Family)
		}
		if f.Path != VisiblePath(f.Family, f.Name) {
			return fmt.Errorf("files[%d]: path %q is not that of %s of family %q", i, f.Path, f.Name, f.Family)
		}
		if paths[f.Path] {
			return fmt.Errorf("files[%d]: %s is listed twice", i, f.Path)
		}
		if f.Rows < 0 || f.Bytes < 0 {
			return fmt.Errorf("files[%d]: a count is below zero", i)
		}
		paths[f.Path] = true
	}
	return nil
}
