package bitnet

import (
	"errors"
	"strings"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	const same = VersionMajor<<16 | VersionMinor<<8 | VersionPatch
	for _, test := range []struct {
		abi, version uint32
		fits         bool
	}{
		{ABIVersion, same, true}, {ABIVersion, same + 1<<8, true},
		{ABIVersion, same - 1<<8, false}, {ABIVersion + 1, same, false},
	} {
		err := compareVersions(test.abi, test.version, "9.8.7")
		if test.fits != (err == nil) {
			t.Errorf("ABI %d, version %#x: %v", test.abi, test.version, err)
		}
		if err == nil {
			continue
		}
		named := strings.Contains(err.Error(), "9.8.7") && strings.Contains(err.Error(), Version)
		if !errors.Is(err, ErrUnsupported) || !named {
			t.Errorf("'%v' does not name both versions", err)
		}
	}
}
