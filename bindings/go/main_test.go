package bitnet_test

import (
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// A pool is an Execute for calls that must not end before something comes that another goroutine does, however late that
// gets its turn. It closes began in the first call that decodes. While it is slow, each of its phases takes a tenth of a
// second: a batch of thousands of tokens, which has hundreds of them, half a minute and more.
type pool struct {
	began chan struct{}
	once  sync.Once
	slow  atomic.Bool
}

func slowPool() *pool {
	p := &pool{began: make(chan struct{})}
	p.slow.Store(true)
	return p
}

func (p *pool) options() *bitnet.ContextOptions {
	return &bitnet.ContextOptions{Threads: 2, Execute: p.execute}
}

func (p *pool) execute(task func(int), count int) {
	p.once.Do(func() { close(p.began) })
	for i := 0; i < count; i++ {
		task(i)
	}
	if p.slow.Load() {
		time.Sleep(100 * time.Millisecond)
	}
}

// soon waits until it holds; false if that takes more than a minute, counted in turns of our own, since a machine that
// holds us up holds up the others, too.
func soon(holds func() bool) bool {
	for turn := 0; turn < 12000; turn++ {
		if holds() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return holds()
}

// longBatch has thousands of tokens.
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
	if !soon(func() bool { return runtime.NumGoroutine() <= before }) {
		t.Errorf("%d goroutines run, %d did before", runtime.NumGoroutine(), before)
	}
}
