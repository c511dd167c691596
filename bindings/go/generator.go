package bitnet

/*
#include <bitnet.h>
*/
import "C"

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"
	"unsafe"
)

// GenerateOptions says what to reply to, and how. The prompt is one of Prompt, Messages and Tokens; with Messages and
// Tokens nil it is Prompt, even when that is empty. All other zero fields mean the default.
type GenerateOptions struct {
	Prompt   string    // text to continue; control tokens in it are parsed (you wrote it), and a begin token is added
	Messages []Message // rendered by the chat template
	Tokens   []int32

	Sequence  int32          // of the context; what it holds and the prompt share is not decoded again
	Template  string         // for Messages; "": the model's own
	Stop      []string       // texts that end the reply, not empty; they are not part of it
	MaxTokens uint64         // 0: until the reply or the context ends
	Sampling  SamplerOptions // the zero value is greedy
	Flags     GenerateFlags

	// Drafts is how many tokens at most are tried several at once where the reply repeats what stands in prompt or
	// reply, up to 63. It changes speed, never a token. 0: as many as pay; -1: none.
	Drafts int32
}

// Generator writes a reply, pulled piece by piece. Its calls count as calls of its Context.
type Generator struct {
	context *Context // not finalized before its generators, since these lead to it
	*generation
}

// generation is what the Context knows of a Generator; it does not lead to it, so that it can become garbage.
type generation struct {
	handle  *C.bitnet_generator // changes only in a turn of the context's
	closing bool                // guarded by the context's mu
}

// NewGenerator prepares a reply; nothing is decoded yet. A context may have several generators, on different sequences,
// used in turn. It fails with ErrContextFull (the prompt alone is longer than the context) and ErrUnsupported
// (Messages, but no chat template is known).
func (c *Context) NewGenerator(options *GenerateOptions) (*Generator, error) {
	if options == nil {
		options = &GenerateOptions{}
	}
	var memory cMemory
	defer memory.free()
	o := memory.generation(options)
	if memory.err != nil {
		return nil, memory.err
	}
	g := &generation{}
	if err := c.try(func(why *C.bitnet_error) C.bitnet_status {
		status := C.bitnet_generate_open(c.handle, &o, &g.handle, why)
		if status == C.BITNET_OK {
			c.generators[g] = struct{}{}
		}
		return status
	}); err != nil {
		return nil, err
	}
	generator := &Generator{c, g}
	runtime.SetFinalizer(generator, func(g *Generator) { go g.Close() }) // which may have to wait for its turn
	return generator, nil
}

func (m *cMemory) generation(options *GenerateOptions) C.bitnet_generate_options {
	var o C.bitnet_generate_options
	C.bitnet_generate_options_init(&o)
	if options.Messages != nil {
		o.messages = m.messages(options.Messages)
		o.message_count = C.uint64_t(len(options.Messages))
	}
	if options.Tokens != nil {
		first, tokens := array[int32](m, len(options.Tokens))
		copy(tokens, options.Tokens)
		o.tokens = (*C.int32_t)(first)
		o.token_count = C.uint64_t(len(tokens))
	}
	if options.Prompt != "" || options.Messages == nil && options.Tokens == nil {
		o.prompt = m.bytes(options.Prompt)
		o.prompt_bytes = C.uint64_t(len(options.Prompt))
	}
	o.sequence = C.int32_t(options.Sequence)
	o.template_name = m.optional("the option Template", options.Template)
	firstStop, stops := array[*C.char](m, len(options.Stop))
	for i, stop := range options.Stop {
		stops[i] = m.text(fmt.Sprintf("stop text %d", i), stop)
	}
	o.stop = firstStop
	o.stop_count = C.uint64_t(len(stops))
	o.max_tokens = C.uint64_t(options.MaxTokens)
	sampling, _ := array[C.bitnet_sampler_options](m, 1)
	*sampling = m.sampling(&options.Sampling)
	o.sampling = sampling
	o.flags = C.uint32_t(options.Flags)
	o.drafts = C.int32_t(options.Drafts)
	return o
}

// Next gives the next piece of the reply, of whole UTF-8 sequences and not empty, or io.EOF when the reply is over,
// which stays so; Info says why it ended. It fails with ErrCancelled (ctx is done; call again to go on where it
// stopped: of a long prompt, slices of 512 tokens that were finished stay in the sequence), ErrContextFull (the cache
// has no room for the prompt, since other sequences hold it) and ErrFormat (the model's logits are no numbers: its file
// is damaged).
func (g *Generator) Next(ctx context.Context) (string, error) {
	defer runtime.KeepAlive(g) // its finalizer would end the call
	var text string
	status, err := g.context.decode(ctx, g.generation, func(why *C.bitnet_error) C.bitnet_status {
		var piece *C.char
		var bytes C.uint64_t
		status := C.bitnet_generate_next(g.handle, &piece, &bytes, why)
		if status == C.BITNET_OK {
			text = goString(piece, bytes)
		}
		return status
	})
	if err == nil && status == StatusDone {
		err = io.EOF
	}
	return text, err
}

// GenerateInfo is how a reply went so far.
type GenerateInfo struct {
	EndReason      EndReason
	Tokens         []int32 // generated so far, the end token not counted
	PromptTokens   uint64
	ReusedTokens   uint64        // of the prompt, taken from the cache
	PromptTime     time.Duration // decoding the rest of the prompt
	DecodeTime     time.Duration // decoding the reply and picking its tokens
	DraftedTokens  uint64        // tried ahead
	AcceptedTokens uint64        // of these, what the reply then had
}

// Info tells how the reply went so far.
func (g *Generator) Info() (GenerateInfo, error) {
	if err := g.context.enter(context.Background()); err != nil {
		return GenerateInfo{}, err
	}
	defer g.context.leave()
	if err := g.context.closed(g.generation); err != nil {
		return GenerateInfo{}, err
	}
	var i C.bitnet_generate_info
	C.bitnet_generate_info_init(&i)
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_generate_get_info(g.handle, &i, why)
	}); err != nil {
		return GenerateInfo{}, err
	}
	return GenerateInfo{
		EndReason:      EndReason(i.end_reason),
		Tokens:         append([]int32(nil), unsafe.Slice((*int32)(i.tokens), i.token_count)...),
		PromptTokens:   uint64(i.prompt_tokens),
		ReusedTokens:   uint64(i.reused_tokens),
		PromptTime:     seconds(i.prompt_seconds),
		DecodeTime:     seconds(i.decode_seconds),
		DraftedTokens:  uint64(i.drafted_tokens),
		AcceptedTokens: uint64(i.accepted_tokens),
	}, nil
}

// Close cancels a call of Next that is running, waits for its turn and closes the generator. What it decoded stays in
// the context's sequence, so that the next turn of a chat is quick. It always returns nil.
func (g *Generator) Close() error {
	c := g.context
	if c == nil {
		return nil // the zero Generator
	}
	c.mu.Lock()
	g.closing = true
	if c.running == g.generation {
		c.cancel()
	}
	c.mu.Unlock()

	c.turn <- struct{}{}
	defer c.leave()
	c.closeGeneration(g.generation)
	runtime.SetFinalizer(g, nil)
	return nil
}

// closeGeneration needs a turn. It may have been closed before, by the context too.
func (c *Context) closeGeneration(g *generation) {
	C.bitnet_generate_close(g.handle)
	g.handle = nil
	delete(c.generators, g)
}
