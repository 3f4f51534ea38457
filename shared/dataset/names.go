package dataset

import (
	"fmt"
	"strings"
)

// maxNameBytes is what file systems allow for one name, less room for temporary suffixes.
const maxNameBytes = 200

// CheckName refuses what is no plain file name, so that no name from a message can
// reach outside the dataset.
func CheckName(what, name string) error {
	if name == "" || len(name) > maxNameBytes || name[0] == '.' {
		return fmt.Errorf("%s %q: a name has 1 to %d bytes and does not begin with a dot", what, name, maxNameBytes)
	}
	for i := range len(name) {
		if !isPlain(name[i]) {
			return fmt.Errorf("%s %q: a name consists of A-Z a-z 0-9 . _ -", what, name)
		}
	}
	return nil
}

// CheckFileName checks the name of a Parquet file.
func CheckFileName(name string) error {
	if err := CheckName("data file", name); err != nil {
		return err
	}
	if !strings.HasPrefix(name, "part-") || !strings.HasSuffix(name, ".parquet") {
		return fmt.Errorf("data file %q: want part-….parquet", name)
	}
	return nil
}

// CheckMetaName checks the name of a file beside features/.
func CheckMetaName(name string) error {
	if err := CheckName("file", name); err != nil {
		return err
	}
	if name[0] != '_' || name == CommitsDir || name == StagingDir {
		return fmt.Errorf("file %q: names beside features/ begin with _ and are not those of directories", name)
	}
	return nil
}

// CheckFamily checks the id of a family.
func CheckFamily(id string) error {
	if id == "" || len(EscapeFamily(id)) > MaxFamilyPathBytes {
		return fmt.Errorf("family %q cannot be a directory; see CheckFamilyIDs", id)
	}
	return nil
}
