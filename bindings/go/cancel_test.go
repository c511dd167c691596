package bitnet_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

const moment = 50 * time.Millisecond

// stopped checks that err is both the library's and the context's.
func stopped(t *testing.T, err, cause error) {
	t.Helper()
	refused(t, err, bitnet.ErrCancelled)
	if !errors.Is(err, cause) {
		t.Fatalf("'%v' is not '%v'", err, cause)
	}
}

func cancelWhen(began <-chan struct{}, cancel func()) {
	go func() { <-began; cancel() }()
}

func TestCancelDecode(t *testing.T) {
	before := runtime.NumGoroutine()
	p := slowPool()
	_, c := slow(t, p.options())
	ctx, cancel := context.WithCancel(background)
	cancelWhen(p.began, cancel)
	stopped(t, c.Decode(ctx, longBatch()), context.Canceled)

	ctx, cancel = context.WithTimeout(background, moment)
	defer cancel()
	stopped(t, c.Decode(ctx, longBatch()), context.DeadlineExceeded)
	stopped(t, c.Decode(ctx, longBatch()), context.DeadlineExceeded) // before it begins
	if length := must[int](t)(c.SequenceLength(0)); length != 0 {
		t.Errorf("the sequence has %d positions, expected none", length)
	}
	p.slow.Store(false)
	check(t, c.Decode(background, longBatch()[:10]))
	noMoreGoroutines(t, before)
}

// A reply that was stopped again and again, while its prompt was read and between its pieces, is the same reply.
func TestCancelGenerator(t *testing.T) {
	p := slowPool()
	model, c := slow(t, p.options())
	text := strings.Repeat("abc def ", 150)
	options := &bitnet.GenerateOptions{Prompt: text, MaxTokens: 32, Flags: bitnet.GenerateIgnoreEnd}
	g := must[*bitnet.Generator](t)(c.NewGenerator(options))
	var reply strings.Builder
	ctx, cancel := context.WithCancel(background)
	cancelWhen(p.began, cancel)
	stopped(t, second(g.Next(ctx)), context.Canceled)
	p.slow.Store(false)
	stops := 0
	for {
		// Soon long enough for a slice of the prompt, and for a piece.
		ctx, cancel := context.WithTimeout(background, time.Duration(stops*stops)*20*time.Millisecond+time.Millisecond)
		piece, err := g.Next(ctx)
		cancel()
		if errors.Is(err, bitnet.ErrCancelled) {
			stopped(t, err, context.DeadlineExceeded)
			stops++
			continue
		}
		if err == io.EOF {
			break
		}
		check(t, err)
		reply.WriteString(piece)
	}
	t.Logf("stopped once and %d times more", stops)
	other := openContext(t, model, nil)
	if expected := readAll(t, must[*bitnet.Generator](t)(other.NewGenerator(options))); reply.String() != expected {
		t.Errorf("found '%s', expected '%s'", reply.String(), expected)
	}
}

// A call that waits for its turn gives up waiting.
func TestCancelWhileWaiting(t *testing.T) {
	p := slowPool()
	_, c := slow(t, p.options())
	ctx, cancel := context.WithCancel(background)
	ended := make(chan error)
	go func() { ended <- c.Decode(ctx, longBatch()) }()
	<-p.began
	short, cancelShort := context.WithTimeout(background, moment)
	defer cancelShort()
	stopped(t, c.Decode(short, longBatch()[:1]), context.DeadlineExceeded)
	cancel()
	stopped(t, <-ended, context.Canceled)
}

// A cancel that comes when its call has just ended must not end the next one.
func TestLateCancel(t *testing.T) {
	before := runtime.NumGoroutine()
	model, c := small(t, &bitnet.ContextOptions{Threads: 1})
	token := must[[]int32](t)(model.Tokenize("word", 0))[0]
	cancelled := 0
	for i := 0; i < 600; i++ {
		ctx, cancel := context.WithCancel(background)
		time.AfterFunc(time.Duration(i%60)*5*time.Microsecond, cancel)
		if err := c.Decode(ctx, []bitnet.BatchEntry{{Token: token}}); err != nil {
			stopped(t, err, context.Canceled)
			cancelled++
		}
		check(t, c.SequenceTruncate(0, 0))
		if err := c.Decode(background, []bitnet.BatchEntry{{Token: token}}); err != nil {
			t.Fatalf("after %d calls: %v", i, err)
		}
		check(t, c.SequenceTruncate(0, 0))
		cancel()
	}
	t.Logf("%d of 600 calls were cancelled, none of the 600 others", cancelled)
	noMoreGoroutines(t, before)
}

func TestCloseEndsRunningCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	p := slowPool()
	_, c := slow(t, p.options())
	ended := make(chan error, 8)
	for i := 0; i < cap(ended); i++ {
		go func() { ended <- c.Decode(background, longBatch()) }()
	}
	<-p.began
	var closers sync.WaitGroup
	for i := 0; i < 3; i++ {
		closers.Add(1)
		go func() {
			defer closers.Done()
			check(t, c.Close())
		}()
	}
	closers.Wait()
	for i := 0; i < cap(ended); i++ {
		if err := <-ended; !errors.Is(err, bitnet.ErrClosed) {
			t.Errorf("found %v, expected ErrClosed", err)
		}
	}
	noMoreGoroutines(t, before)
}

// Closing a generator ends its own call, no other's.
func TestCloseGeneratorEndsItsCall(t *testing.T) {
	p := slowPool()
	_, c := slow(t, p.options())
	prompt := strings.Repeat("abc def ", 500)
	first := must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{Prompt: prompt}))
	second := must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{Prompt: prompt, Sequence: 1}))
	ended := make(chan error)
	go func() { _, err := first.Next(background); ended <- err }()
	<-p.began
	closed := make(chan error)
	go func() { closed <- second.Close() }() // waits for its turn
	select {
	case err := <-ended:
		t.Fatalf("the first was ended by closing the second: %v", err)
	case <-time.After(10 * moment): // several phases of the pool
	}
	check(t, first.Close())
	if err := <-ended; !errors.Is(err, bitnet.ErrClosed) {
		t.Errorf("found %v, expected ErrClosed", err)
	}
	check(t, <-closed)
	p.slow.Store(false)
	check(t, c.Decode(background, []bitnet.BatchEntry{{Token: 1, Sequence: 2}}))
}
