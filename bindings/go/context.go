package bitnet

/*
#include "callbacks.h"
*/
import "C"

import (
	"context"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// ContextOptions says how large a context is. The zero value is the default.
type ContextOptions struct {
	Positions uint32 // cached positions, all sequences together, at most 2^24; 0: the model's context length
	Sequences uint32 // sequences are 0..Sequences-1, at most 1024; 0: 16
	Batch     uint32 // tokens computed at once, at most 4096; 0: 256. Longer batches are cut, which changes no bit
	Threads   int32  // 1..1024; 0: as many as there are cores. Changes no bit

	// Execute lends the context threads of yours instead of its own: it must call task(0) ... task(count-1), on any
	// goroutines, in any order, and return when all have returned. It runs on the goroutine of the call that decodes,
	// a few times for each layer, so goroutines that are there already serve it better than new ones; it is not called
	// with Threads 1. A task left out is run afterwards, one called again does nothing. After a panic in Execute the
	// decoding call is cancelled, then panics itself. nil: threads of the context's own, which sleep between calls.
	Execute func(task func(index int), count int)
}

// Context is where decoding happens: a cache of keys and values for some sequences, room for one batch, some threads.
// Its calls, and those of its generators, run one after the other.
type Context struct {
	turn             chan struct{} // has room for one: a call puts its token in, and takes it out when it has ended
	vocabSize, width int32         // of the model: how long rows are

	// These change only in a call that has its turn.
	generators map[*generation]struct{}
	model      *modelState
	executor   *executor // nil without Execute
	user       unsafe.Pointer

	mu      sync.Mutex // held for moments; what follows changes only with it and in one's turn, closing aside
	handle  *C.bitnet_ctx
	running *generation // whose Next has its turn
	closing bool
}

func contextOptions(options *ContextOptions) C.bitnet_ctx_options {
	var o C.bitnet_ctx_options
	C.bitnet_ctx_options_init(&o)
	if options != nil {
		o.positions = C.uint32_t(options.Positions)
		o.sequences = C.uint32_t(options.Sequences)
		o.batch = C.uint32_t(options.Batch)
		o.threads = C.int32_t(options.Threads)
	}
	return o
}

// NewContext opens a context and allocates its memory, which Estimate tells beforehand. The model may be closed before
// the context. ErrState: the model was opened with ModelDescribe.
func (m *Model) NewContext(options *ContextOptions) (*Context, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	var info C.bitnet_model_info
	C.bitnet_model_info_init(&info)
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_model_get_info(m.handle, &info, why)
	}); err != nil {
		return nil, err
	}
	c := &Context{turn: make(chan struct{}, 1), vocabSize: int32(info.vocab_size), width: int32(info.width),
		generators: map[*generation]struct{}{}}
	o := contextOptions(options)
	if options != nil && options.Execute != nil {
		c.executor = &executor{execute: options.Execute}
		c.user = newUser(c.executor)
		o.execute = C.bitnet_execute_fn(C.bitnet_go_execute)
		o.execute_user = c.user
	}
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_open(m.handle, &o, &c.handle, why)
	}); err != nil {
		freeUser(c.user)
		return nil, err
	}
	if c.executor != nil {
		c.executor.ctx = c.handle
	}
	c.model = m.state.claim()
	runtime.SetFinalizer(c, func(c *Context) { go c.Close() })
	return c, nil
}

// Close cancels the call that is running in the context, waits until it has ended, closes the context's generators and
// then the context. Calls that wait for their turn, and all later ones, fail with ErrClosed. It always returns nil.
func (c *Context) Close() error {
	if c.turn == nil {
		return nil // the zero Context
	}
	c.mu.Lock()
	c.closing = true
	c.cancel()
	c.mu.Unlock()

	c.turn <- struct{}{}
	defer c.leave()
	if c.handle == nil {
		return nil
	}
	for g := range c.generators {
		c.closeGeneration(g)
	}
	c.mu.Lock()
	handle := c.handle
	c.handle = nil // nobody cancels it any more
	c.mu.Unlock()
	C.bitnet_ctx_close(handle)
	freeUser(c.user)
	c.model.release()
	runtime.SetFinalizer(c, nil)
	return nil
}

// cancel ends the running call. A cancel that comes when that has just ended stays in the library for the next one,
// which begins again then (decode). Needs c.mu.
func (c *Context) cancel() {
	if c.handle != nil {
		C.bitnet_ctx_cancel(c.handle)
	}
}

// enter waits for the turn of a call, until leave.
func (c *Context) enter(ctx context.Context) error {
	if c == nil || c.turn == nil { // of the zero Generator, the zero Context
		return closedError("context")
	}
	if ctx.Err() == nil {
		select {
		case c.turn <- struct{}{}:
			if c.isClosing() {
				c.leave()
				return closedError("context")
			}
			return nil
		case <-ctx.Done():
		}
	}
	return cancelled(ctx, "the call was cancelled before it began")
}

func (c *Context) leave() { <-c.turn }

func (c *Context) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// try makes a call that does not decode, in its turn.
func (c *Context) try(f func(why *C.bitnet_error) C.bitnet_status) error {
	if err := c.enter(context.Background()); err != nil {
		return err
	}
	defer c.leave()
	_, err := call(f)
	return err
}

// decode makes a call that decodes, for a generation or (nil) for the context itself. The library's cancel flag belongs
// to the context and not to a call: it may have been set for a call that ended just before. So a call that was
// cancelled, though neither ctx is done nor something closes, is made again, as the library says: nothing was added.
func (c *Context) decode(ctx context.Context, g *generation,
	f func(why *C.bitnet_error) C.bitnet_status) (Status, error) {
	if err := c.enter(ctx); err != nil {
		return 0, err
	}
	defer c.leave()
	if err := c.begin(g); err != nil {
		return 0, err
	}
	defer c.end()
	defer c.watch(ctx)()
	for {
		status, err := call(f)
		if c.executor != nil {
			c.executor.rethrow()
		}
		if status != ErrCancelled {
			return status, err
		}
		if closed := c.closed(g); closed != nil {
			return status, closed
		}
		if ctx.Err() != nil {
			return status, cancelled(ctx, err.(*Error).Message)
		}
	}
}

// begin lets Close of the generation cancel what begins now; it fails when that has come already.
func (c *Context) begin(g *generation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g != nil && g.closing {
		return closedError("generator")
	}
	c.running = g
	return nil
}

func (c *Context) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
}

func (c *Context) closed(g *generation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return closedError("context")
	}
	if g != nil && g.closing {
		return closedError("generator")
	}
	return nil
}

// watch cancels when ctx is done. The function it gives ends that, and returns when nobody watches any more.
func (c *Context) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cancel()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-gone
	}
}

// BatchEntry is one token to decode.
type BatchEntry struct {
	Token    int32
	Position int32 // in its sequence: its length, then one more for each further entry of that sequence
	Sequence int32 // 0..Sequences-1
	Want     Want  // 0: only the cache is filled, which saves the head's work
}

// Decode reads a batch: computes each entry's keys and values into the cache and what the entries want. Entries may be
// of any mix of sequences; within a sequence in order, positions without gaps. On any failure no sequence has changed,
// but the logits of earlier calls are gone: ErrArgument (the sentence names the entry), ErrContextFull (no room for all
// of them: truncate a sequence or open a larger context), ErrCancelled (ctx is done).
func (c *Context) Decode(ctx context.Context, entries []BatchEntry) error {
	batch := make([]C.bitnet_batch_entry, len(entries))
	for i, e := range entries {
		batch[i] = C.bitnet_batch_entry{
			token:    C.int32_t(e.Token),
			position: C.int32_t(e.Position),
			sequence: C.int32_t(e.Sequence),
			want:     C.uint32_t(e.Want),
		}
	}
	_, err := c.decode(ctx, nil, func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_decode(c.handle, first[C.bitnet_batch_entry](batch), C.uint64_t(len(batch)), why)
	})
	return err
}

// AppendLogits appends the logits of entry index of the last batch to dst, which may be nil, and gives the extended
// slice: VocabSize unnormalized numbers. ErrState: that entry did not want logits, or there was no batch, or something
// was decoded since, by a generator perhaps.
func (c *Context) AppendLogits(dst []float32, index int) ([]float32, error) {
	return c.appendRow(dst, index, c.vocabSize, func(row **C.float, why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_logits(c.handle, C.uint64_t(index), row, why)
	})
}

// AppendEmbedding appends the final hidden state of entry index of the last batch, after the output norm: Width
// numbers. ErrState: that entry did not want its embedding; otherwise as AppendLogits.
func (c *Context) AppendEmbedding(dst []float32, index int) ([]float32, error) {
	return c.appendRow(dst, index, c.width, func(row **C.float, why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_embedding(c.handle, C.uint64_t(index), row, why)
	})
}

// appendRow copies in the call's turn, since the next decode ends the row's life.
func (c *Context) appendRow(dst []float32, index int, width int32,
	get func(row **C.float, why *C.bitnet_error) C.bitnet_status) ([]float32, error) {
	if err := c.enter(context.Background()); err != nil {
		return dst, err
	}
	defer c.leave()
	if err := refuseNegative(index); err != nil {
		return dst, err
	}
	var row *C.float
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status { return get(&row, why) }); err != nil {
		return dst, err
	}
	return append(dst, unsafe.Slice((*float32)(row), width)...), nil
}

// Sample picks the token that follows entry index of the last batch: always what sampler would pick from that entry's
// first count logits (0: all tokens that have a text). The entry must have wanted WantSample, or WantLogits, which
// serves as well. Only the logits that can matter are computed, unless the sampler has TopP without TopK: want
// WantLogits then. Accept tells the sampler that the token was taken.
//
// It fails with ErrState (the entry wanted neither, or there was no batch), ErrCancelled (ctx is done), and as
// Sampler.Sample does.
func (c *Context) Sample(ctx context.Context, index int, count uint64, sampler *Sampler) (int32, error) {
	if err := refuseNegative(index); err != nil {
		return 0, err
	}
	var token C.int32_t
	var closed error
	_, err := c.decode(ctx, nil, func(why *C.bitnet_error) C.bitnet_status {
		sampler.mu.Lock()
		defer sampler.mu.Unlock()
		if sampler.handle == nil {
			closed = closedError("sampler")
			return C.BITNET_OK
		}
		return C.bitnet_ctx_sample(c.handle, C.uint64_t(index), C.uint64_t(count), sampler.handle, &token, why)
	})
	if closed != nil {
		err = closed
	}
	return int32(token), err
}

// SequenceLength tells how many positions a sequence holds; 0 for numbers that are no sequences.
func (c *Context) SequenceLength(sequence int32) (int, error) {
	length := 0
	err := c.try(func(*C.bitnet_error) C.bitnet_status {
		length = int(C.bitnet_ctx_sequence_length(c.handle, C.int32_t(sequence)))
		return C.BITNET_OK
	})
	return length, err
}

// SequenceMatch tells how many of the tokens the sequence holds from its start: these need not be decoded again.
func (c *Context) SequenceMatch(sequence int32, tokens []int32) (int, error) {
	match := 0
	err := c.try(func(*C.bitnet_error) C.bitnet_status {
		match = int(C.bitnet_ctx_sequence_match(c.handle, C.int32_t(sequence), first[C.int32_t](tokens),
			C.uint64_t(len(tokens))))
		return C.BITNET_OK
	})
	return match, err
}

// SequenceFork makes one sequence a copy of another, sharing its pages until one of them grows: cheap. What the copy
// held before is dropped.
func (c *Context) SequenceFork(from, to int32) error {
	return c.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_sequence_fork(c.handle, C.int32_t(from), C.int32_t(to), why)
	})
}

// SequenceTruncate keeps the first positions of a sequence, if it has more; 0 empties it.
func (c *Context) SequenceTruncate(sequence int32, positions uint64) error {
	return c.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_sequence_truncate(c.handle, C.int32_t(sequence), C.uint64_t(positions), why)
	})
}

// Save gives one sequence as bytes with a checksum, to be loaded into any context of the same model, in another process
// or on another machine.
func (c *Context) Save(sequence int32) ([]byte, error) {
	return c.fill(func(buffer *byte, capacity C.uint64_t, size *C.uint64_t, why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_save(c.handle, C.int32_t(sequence), unsafe.Pointer(buffer), capacity, size, why)
	})
}

// Load replaces a sequence by a saved one, all or nothing. It fails with ErrFormat (data is damaged or no saved
// sequence), ErrUnsupported (it was saved from another model) and ErrContextFull (there is no room for it).
func (c *Context) Load(sequence int32, data []byte) error {
	from := notNil(data)
	return c.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_load(c.handle, C.int32_t(sequence), unsafe.Pointer(&from[0]), C.uint64_t(len(data)), why)
	})
}

// Receipt tells what was computed so far, and how, as JSON made from counters: {"schema":"bitnet-receipt-1",...}. Keys
// are only ever added.
func (c *Context) Receipt() ([]byte, error) {
	return c.fill(func(buffer *byte, capacity C.uint64_t, size *C.uint64_t, why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_receipt(c.handle, (*C.char)(unsafe.Pointer(buffer)), capacity, size, why)
	})
}

// fill makes a query-then-fill call in its turn.
func (c *Context) fill(f func(buffer *byte, capacity C.uint64_t, size *C.uint64_t,
	why *C.bitnet_error) C.bitnet_status) ([]byte, error) {
	if err := c.enter(context.Background()); err != nil {
		return nil, err
	}
	defer c.leave()
	return fill(0, f)
}

// ContextStats is what a context has done since it was opened.
type ContextStats struct {
	Threads        int32
	Batches        uint64        // decode calls that succeeded
	Tokens         uint64        // entries they had
	SingleTokens   uint64        // of these, in calls with one entry
	Time           time.Duration // in those calls
	SingleTime     time.Duration // in those with one entry
	HeadRows       uint64        // rows of logits computed
	PositionsUsed  uint64        // cache positions in use, whole pages, shared pages once
	Positions      uint64        // cache positions there are
	CacheBytes     uint64        // memory of the cache
	WorkBytes      uint64        // memory of everything else in the context
	WeightTime     time.Duration // of SingleTime: products with weights, the head's included
	AttentionTime  time.Duration // of SingleTime: attention
	ScreenedTokens uint64        // entries read through the screened head
	ScreenedRows   uint64        // rows of the head computed exactly for them
	FullTokens     uint64        // of ScreenedTokens, those whose sampling had to compute every row after all
	ScreenedBound  float64       // the largest error bound met, in standard deviations of the logits it bounds
}

// Stats tells what the context has done.
func (c *Context) Stats() (ContextStats, error) {
	var s C.bitnet_ctx_stats
	C.bitnet_ctx_stats_init(&s)
	if err := c.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_ctx_get_stats(c.handle, &s, why)
	}); err != nil {
		return ContextStats{}, err
	}
	return ContextStats{
		Threads:        int32(s.threads),
		Batches:        uint64(s.batches),
		Tokens:         uint64(s.tokens),
		SingleTokens:   uint64(s.single_tokens),
		Time:           seconds(s.seconds),
		SingleTime:     seconds(s.single_seconds),
		HeadRows:       uint64(s.head_rows),
		PositionsUsed:  uint64(s.positions_used),
		Positions:      uint64(s.positions),
		CacheBytes:     uint64(s.cache_bytes),
		WorkBytes:      uint64(s.work_bytes),
		WeightTime:     seconds(s.weight_seconds),
		AttentionTime:  seconds(s.attention_seconds),
		ScreenedTokens: uint64(s.screened_tokens),
		ScreenedRows:   uint64(s.screened_rows),
		FullTokens:     uint64(s.full_tokens),
		ScreenedBound:  float64(s.screened_bound),
	}, nil
}
