package bitnet_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/libbitnet/libbitnet/bindings/go/internal/facts"
)

// compilerFacts reads what the C compiler makes of bitnet.h (tests/bindings/facts.c).
func compilerFacts(t *testing.T) []string {
	path := os.Getenv("BITNET_FACTS")
	if path == "" {
		t.Skip("BITNET_FACTS is not set: it is the path of the C compiler's facts")
	}
	return strings.Split(strings.TrimSpace(string(must[[]byte](t)(os.ReadFile(path)))), "\n")
}

func set(lines []string) map[string]bool {
	set := map[string]bool{}
	for _, line := range lines {
		set[line] = true
	}
	return set
}

// Sizes, offsets, numbers, signatures and the version: what cgo and this package have is what the C compiler has.
func TestFactsAreTheCompilers(t *testing.T) {
	compilers, ours := compilerFacts(t), facts.Lines()
	for _, missing := range difference(compilers, ours) {
		t.Errorf("the C compiler has, Go has not: %s", missing)
	}
	for _, extra := range difference(ours, compilers) {
		t.Errorf("Go has, the C compiler has not: %s", extra)
	}
	if len(compilers) < 200 {
		t.Errorf("only %d facts", len(compilers))
	}
	t.Logf("%d facts agree", len(compilers))
}

func difference(from, without []string) (left []string) {
	have := set(without)
	for _, line := range from {
		if !have[line] {
			left = append(left, line)
		}
	}
	return left
}

// Every call of the header is made by the package, none is out of reach.
func TestWholeHeaderIsUsed(t *testing.T) {
	sources := ""
	for _, path := range must[[]string](t)(filepath.Glob("*.go")) {
		if !strings.HasSuffix(path, "_test.go") {
			sources += string(must[[]byte](t)(os.ReadFile(path)))
		}
	}
	calls := 0
	for _, fact := range compilerFacts(t) {
		words := strings.Fields(fact)
		if words[0] != "function" {
			continue
		}
		calls++
		if !regexp.MustCompile(`\b` + words[1] + `\(`).MatchString(sources) {
			t.Errorf("package bitnet does not call %s", words[1])
		}
	}
	t.Logf("%d calls of the header are made", calls)
}
