package bitnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

func isClosed(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, bitnet.ErrClosed) {
		t.Errorf("%s: found %v, expected ErrClosed", name, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestClosedHandles(t *testing.T) {
	model, c := small(t, nil)
	sampler := must[*bitnet.Sampler](t)(bitnet.NewSampler(nil))
	g := ask(t, c, question)
	alone := ask(t, c, question)

	for i := 0; i < 2; i++ {
		check(t, alone.Close())
		check(t, sampler.Close())
	}
	isClosed(t, "Next of a closed generator", second(alone.Next(background)))
	isClosed(t, "Info of a closed generator", second(alone.Info()))
	isClosed(t, "Sample", second(sampler.Sample([]float32{1})))
	isClosed(t, "Accept", sampler.Accept(1))
	isClosed(t, "Reset", sampler.Reset())
	isClosed(t, "Context.Sample with a closed sampler", second(c.Sample(background, 0, 0, sampler)))

	// A context outlives its model.
	for i := 0; i < 2; i++ {
		check(t, model.Close())
	}
	messages := []bitnet.Message{{Role: "user", Content: "x"}}
	for name, err := range map[string]error{
		"NewContext": second(model.NewContext(nil)), "Info": second(model.Info()), "Tokenize": second(model.Tokenize("x", 0)),
		"MetadataKeys": second(model.MetadataKeys()), "MetadataText": second(model.MetadataText("x", 1)),
		"Tensors": second(model.Tensors()), "Estimate": second(model.Estimate(nil)),
		"Detokenize": second(model.Detokenize(nil, 0)), "TokenPiece": second(model.TokenPiece(1, 0)),
		"TokenIsEnd": second(model.TokenIsEnd(1)), "ChatTokenize": second(model.ChatTokenize(messages, "")),
		"ChatRender": second(model.ChatRender(messages, "")),
	} {
		isClosed(t, "Model."+name, err)
	}
	piece := must[string](t)(g.Next(background))

	for i := 0; i < 2; i++ {
		check(t, c.Close())
	}
	isClosed(t, "Next after '"+piece+"'", second(g.Next(background)))
	isClosed(t, "Info", second(g.Info()))
	check(t, g.Close())
	for name, err := range map[string]error{
		"NewGenerator": second(c.NewGenerator(nil)), "Decode": c.Decode(background, []bitnet.BatchEntry{{Token: 1}}),
		"AppendLogits": second(c.AppendLogits(nil, 0)), "AppendEmbedding": second(c.AppendEmbedding(nil, 0)),
		"Sample": second(c.Sample(background, 0, 0, sampler)), "SequenceLength": second(c.SequenceLength(0)),
		"SequenceMatch": second(c.SequenceMatch(0, nil)), "SequenceFork": c.SequenceFork(0, 1),
		"SequenceTruncate": c.SequenceTruncate(0, 0), "Save": second(c.Save(0)), "Load": c.Load(0, nil),
		"Stats": second(c.Stats()), "Receipt": second(c.Receipt()),
	} {
		isClosed(t, "Context."+name, err)
	}

	isClosed(t, "the zero Model", second(new(bitnet.Model).Info()))
	isClosed(t, "the zero Context", second(new(bitnet.Context).Stats()))
	isClosed(t, "the zero Sampler", new(bitnet.Sampler).Accept(1))
	isClosed(t, "Next of the zero Generator", second(new(bitnet.Generator).Next(background)))
	isClosed(t, "Info of the zero Generator", second(new(bitnet.Generator).Info()))
	for _, zero := range []io.Closer{&bitnet.Model{}, &bitnet.Context{}, &bitnet.Sampler{}, &bitnet.Generator{}} {
		check(t, zero.Close())
	}
}

// Goroutines share a model, each with a context of its own; all find the same text.
func TestOneModelManyGoroutines(t *testing.T) {
	model := open(t, smallModel, nil)
	var all sync.WaitGroup
	for i := 0; i < 6; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			c, err := model.NewContext(&bitnet.ContextOptions{Threads: 1, Positions: 256})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for _, text := range []string{question, "What is the opposite of cold?"} {
				tokens, err := model.ChatTokenize([]bitnet.Message{{Role: "user", Content: text}}, "")
				if err != nil {
					t.Error(err)
				}
				g, err := c.NewGenerator(&bitnet.GenerateOptions{Tokens: tokens})
				if err != nil {
					t.Error(err)
					return
				}
				reply := ""
				for {
					piece, err := g.Next(background)
					if err != nil {
						if err != io.EOF {
							t.Error(err)
						}
						break
					}
					reply += piece
				}
				if text == question && reply != answer {
					t.Errorf("found '%s', expected '%s'", reply, answer)
				}
			}
		}()
	}
	all.Wait()
}

// Goroutines share one context, two generators of it and one sampler; a close comes in the middle of it.
func TestOneContextManyGoroutines(t *testing.T) {
	for round := 0; round < 20; round++ {
		model, c := small(t, &bitnet.ContextOptions{Threads: 2, Positions: 512})
		sampler := must[*bitnet.Sampler](t)(bitnet.NewSampler(&bitnet.SamplerOptions{Temperature: 1}))
		g := ask(t, c, question)
		var all sync.WaitGroup
		use := func(f func() error) {
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					err := f()
					if errors.Is(err, bitnet.ErrClosed) {
						return
					}
					if err != nil && err != io.EOF && !errors.Is(err, bitnet.ErrState) &&
						!errors.Is(err, bitnet.ErrContextFull) && !errors.Is(err, bitnet.ErrArgument) {
						t.Error(err)
						return
					}
				}
			}()
		}
		use(func() error { _, err := g.Next(background); return err })
		use(func() error { _, err := g.Info(); return err })
		use(func() error { _, err := c.Sample(background, 0, 0, sampler); return err })
		use(func() error { _, err := sampler.Sample([]float32{1, 2}); return err })
		use(func() error { _, err := c.Stats(); return err })
		use(func() error { _, err := c.Save(0); return err })
		use(func() error { _, err := model.Tokenize(question, 0); return err })
		use(func() error {
			second, err := c.NewGenerator(&bitnet.GenerateOptions{Prompt: "x", Sequence: 1, MaxTokens: 2})
			if err == nil {
				_, err = second.Next(background)
				check(t, second.Close())
			}
			return err
		})
		use(func() error {
			defer c.SequenceTruncate(2, 0)
			return c.Decode(background, []bitnet.BatchEntry{{Token: 1, Sequence: 2, Want: bitnet.WantSample}})
		})
		for i := 0; i < round; i++ {
			runtime.Gosched()
			must[bitnet.ContextStats](t)(c.Stats())
		}
		if round%2 == 0 {
			check(t, model.Close())
		}
		check(t, c.Close())
		check(t, sampler.Close())
		check(t, model.Close())
		all.Wait()
	}
}

// residentBytes is the memory of this process, C's included.
func residentBytes(t *testing.T) int {
	statm := must[[]byte](t)(os.ReadFile("/proc/self/statm"))
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize()
}

// noGrowth fails if rounds of use take memory that they do not give back; a round is to take a megabyte or more.
func noGrowth(t *testing.T, use func()) {
	t.Helper()
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("this system has no /proc/self/statm")
	}
	const warmUp, rounds, allowed = 20, 100, 40 << 20
	bytesAfter := func(rounds int) int {
		for i := 0; i < rounds; i++ {
			use()
		}
		debug.FreeOSMemory()
		return residentBytes(t)
	}
	before := bytesAfter(warmUp)
	after := bytesAfter(rounds)
	soon(func() bool { // finalizers run when they can
		if after > before+allowed {
			after = bytesAfter(0)
		}
		return after <= before+allowed
	})
	t.Logf("%d MB before %d rounds, %d MB after", before>>20, rounds, after>>20)
	if after > before+allowed {
		t.Errorf("%d MB were not given back", (after-before)>>20)
	}
}

// megabyte is a stop text, which is copied for C and copied again by the library.
var megabyte = []string{strings.Repeat("a long word ", 1<<20/12)}

// A round opens several megabytes, so that one forgotten handle in each round shows.
func TestClosingGivesMemoryBack(t *testing.T) {
	noGrowth(t, func() {
		model := must[*bitnet.Model](t)(bitnet.OpenModel(smallModel, &bitnet.ModelOptions{
			Flags: bitnet.ModelRead, Log: func(bitnet.LogLevel, string) {}}))
		c := must[*bitnet.Context](t)(model.NewContext(&bitnet.ContextOptions{Threads: 2}))
		sampler := must[*bitnet.Sampler](t)(bitnet.NewSampler(nil))
		g := ask(t, c, question)
		must[string](t)(g.Next(background))
		g.Close()
		sampler.Close()
		c.Close()
		model.Close()
		if _, err := bitnet.OpenModel("no-such-file", nil); err == nil {
			t.Fatal("no-such-file was opened")
		}
	})
}

// Handles that nobody closed are closed by their finalizers, whatever the order in which they became garbage.
func TestForgettingGivesMemoryBack(t *testing.T) {
	noGrowth(t, func() {
		model := must[*bitnet.Model](t)(bitnet.OpenModel(smallModel, &bitnet.ModelOptions{Flags: bitnet.ModelRead}))
		c := must[*bitnet.Context](t)(model.NewContext(&bitnet.ContextOptions{Threads: 2}))
		must[*bitnet.Sampler](t)(bitnet.NewSampler(nil))
		must[string](t)(ask(t, c, question).Next(background))
		ask(t, c, question)
		runtime.GC()
		runtime.GC()
	})
}

// Generators and samplers that are forgotten have finalizers of their own, since nothing else of theirs may be closed.
func TestForgottenGenerators(t *testing.T) {
	_, c := small(t, nil)
	noGrowth(t, func() {
		must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{Stop: megabyte}))
		runtime.GC()
		runtime.GC()
	})
}

func TestForgottenSamplers(t *testing.T) {
	bias := make([]bitnet.LogitBias, 200000)
	for i := range bias {
		bias[i].Token = int32(i)
	}
	noGrowth(t, func() {
		must[*bitnet.Sampler](t)(bitnet.NewSampler(&bitnet.SamplerOptions{Bias: bias}))
		runtime.GC()
		runtime.GC()
	})
}

// What a call copies for C goes with the call, also when it fails.
func TestCopiesForCGiveMemoryBack(t *testing.T) {
	_, c := small(t, nil)
	noGrowth(t, func() {
		check(t, must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{Stop: megabyte})).Close())
		_, err := c.NewGenerator(&bitnet.GenerateOptions{Stop: megabyte, Prompt: "x", Tokens: []int32{1}})
		refused(t, err, bitnet.ErrArgument, "exactly one")
	})
}

// letGo fails unless what hangs on a callback becomes garbage after use, which makes the callback around held.
func letGo(t *testing.T, name string, use func(held *[64]byte)) {
	t.Helper()
	var gone atomic.Bool
	func() {
		held := new([64]byte)
		runtime.SetFinalizer(held, func(*[64]byte) { gone.Store(true) })
		use(held)
	}()
	if !soon(func() bool { runtime.GC(); return gone.Load() }) {
		t.Errorf("%s is kept", name)
	}
}

func TestCallbacksAreLetGo(t *testing.T) {
	opened := func(options *bitnet.ModelOptions) {
		check(t, must[*bitnet.Model](t)(bitnet.OpenModel(smallModel, options)).Close())
	}
	logTo := func(held *[64]byte) *bitnet.ModelOptions {
		return &bitnet.ModelOptions{Log: func(bitnet.LogLevel, string) { held[0]++ }}
	}
	letGo(t, "Log", func(held *[64]byte) { opened(logTo(held)) })
	letGo(t, "Log of a failure", func(held *[64]byte) {
		refused(t, second(bitnet.OpenModel("no-such-file", logTo(held))), bitnet.ErrIO)
	})
	letGo(t, "Log of a forgotten model", func(held *[64]byte) {
		must[*bitnet.Model](t)(bitnet.OpenModel(smallModel, logTo(held)))
	})
	letGo(t, "Progress", func(held *[64]byte) {
		opened(&bitnet.ModelOptions{Progress: func(float64) error { held[0]++; return nil }})
	})
	data := bytes.NewReader(smallBytes(t))
	letGo(t, "a reader", func(held *[64]byte) {
		reader := readerFunc(func(to []byte, offset int64) (int, error) {
			held[0]++
			return data.ReadAt(to, offset)
		})
		check(t, must[*bitnet.Model](t)(bitnet.OpenModelReaderAt(reader, data.Size(), nil)).Close())
	})

	model := open(t, smallModel, nil)
	executeBy := func(held *[64]byte, threads int32) *bitnet.ContextOptions {
		return &bitnet.ContextOptions{Threads: threads, Execute: func(func(int), int) { held[0]++ }}
	}
	letGo(t, "Execute", func(held *[64]byte) {
		check(t, must[*bitnet.Context](t)(model.NewContext(executeBy(held, 2))).Close())
	})
	letGo(t, "Execute of a failure", func(held *[64]byte) {
		refused(t, second(model.NewContext(executeBy(held, -2))), bitnet.ErrArgument)
	})
	letGo(t, "Execute of a forgotten context", func(held *[64]byte) {
		must[*bitnet.Context](t)(model.NewContext(executeBy(held, 2)))
	})
}

// A generator keeps its context, and so its model, from being finalized.
func TestGeneratorKeepsItsContext(t *testing.T) {
	reply := func() *bitnet.Generator {
		model := must[*bitnet.Model](t)(bitnet.OpenModel(smallModel, nil))
		return ask(t, must[*bitnet.Context](t)(model.NewContext(nil)), question)
	}()
	for i := 0; i < 5; i++ {
		runtime.GC()
	}
	if text := readAll(t, reply); text != answer {
		t.Errorf("found '%s', expected '%s'", text, answer)
	}
}
