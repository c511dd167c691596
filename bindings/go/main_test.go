package bitnet_test

import (
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

const (
	smallModel = "../../samples/models/bitnet-nano.gguf"
	question   = "What is the capital of France?"
	answer     = "The capital of France is Paris."
)

var background = context.Background()

func must[T any](t testing.TB) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func smallBytes(t testing.TB) []byte { return must[[]byte](t)(os.ReadFile(smallModel)) }

func open(t testing.TB, path string, options *bitnet.ModelOptions) *bitnet.Model {
	t.Helper()
	model := must[*bitnet.Model](t)(bitnet.OpenModel(path, options))
	t.Cleanup(func() { model.Close() })
	return model
}

func openContext(t testing.TB, model *bitnet.Model, options *bitnet.ContextOptions) *bitnet.Context {
	t.Helper()
	c := must[*bitnet.Context](t)(model.NewContext(options))
	t.Cleanup(func() { c.Close() })
	return c
}

// small opens the small model and a context of it.
func small(t testing.TB, options *bitnet.ContextOptions) (*bitnet.Model, *bitnet.Context) {
	t.Helper()
	model := open(t, smallModel, nil)
	return model, openContext(t, model, options)
}

// slow opens a model that reads thousands of tokens in seconds, on one thread; the test script makes it.
func slow(t testing.TB, options *bitnet.ContextOptions) (*bitnet.Model, *bitnet.Context) {
	t.Helper()
	path := os.Getenv("BITNET_SLOW_MODEL")
	if path == "" {
		t.Skip("BITNET_SLOW_MODEL is not set: tests/bindings/go_test.sh makes one")
	}
	model := open(t, path, &bitnet.ModelOptions{Weights: bitnet.WeightsFile})
	return model, openContext(t, model, options)
}

// batchOf makes tokens the beginning of sequence 0; the last one wants something.
func batchOf(tokens []int32, want bitnet.Want) []bitnet.BatchEntry {
	batch := make([]bitnet.BatchEntry, len(tokens))
	for i, token := range tokens {
		batch[i] = bitnet.BatchEntry{Token: token, Position: int32(i)}
	}
	batch[len(batch)-1].Want = want
	return batch
}

// longBatch has many times more tokens than can be decoded in the moment that these tests wait.
func longBatch() []bitnet.BatchEntry {
	tokens := make([]int32, 4000)
	for i := range tokens {
		tokens[i] = int32(1 + i%500)
	}
	return batchOf(tokens, 0)
}

func ask(t testing.TB, c *bitnet.Context, text string) *bitnet.Generator {
	t.Helper()
	return must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{
		Messages: []bitnet.Message{{Role: "user", Content: text}}}))
}

func readAll(t testing.TB, g *bitnet.Generator) string {
	t.Helper()
	var text strings.Builder
	for {
		piece, err := g.Next(background)
		if err == io.EOF {
			return text.String()
		}
		check(t, err)
		text.WriteString(piece)
	}
}

// noMoreGoroutines fails if more goroutines run than before; ended ones need a moment to be gone.
func noMoreGoroutines(t testing.TB, before int) {
	t.Helper()
	for i := 0; i < 200 && runtime.NumGoroutine() > before; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines run, %d did before", now, before)
	}
}
