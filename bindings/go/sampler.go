package bitnet

/*
#include <bitnet.h>
*/
import "C"

import (
	"runtime"
	"sync"
)

// LogitBias is added to one token's logit before everything else; negative infinity bans the token.
type LogitBias struct {
	Token int32
	Bias  float32
}

// SamplerOptions says how tokens are picked: bias, penalties, then cut-offs, then a seeded draw. The zero value is
// greedy. The same seed gives the same picks on every machine.
type SamplerOptions struct {
	Temperature      float32 // > 0; 0: greedy, the largest logit, ties to the lowest token
	TopK             int32   // keep the k largest; 0: all
	TopP             float32 // keep the fewest whose probabilities reach p, 0 < p < 1; 0 or 1: all
	MinP             float32 // keep those with at least this share of the largest probability, 0 <= p < 1; 0: all
	RepeatPenalty    float32 // > 0: logits of tokens seen are divided by it if positive, else multiplied; 0 or 1: off
	FrequencyPenalty float32 // times how often a token was seen, subtracted; 0: off
	PresencePenalty  float32 // subtracted once if a token was seen; 0: off
	PenaltyWindow    int32   // how many of the last accepted tokens count as seen, at most 2^20; 0: 64; -1: all
	Seed             uint64  // any number, 0 included
	Bias             []LogitBias
}

func (m *cMemory) sampling(options *SamplerOptions) C.bitnet_sampler_options {
	var o C.bitnet_sampler_options
	C.bitnet_sampler_options_init(&o)
	o.temperature = C.float(options.Temperature)
	o.top_k = C.int32_t(options.TopK)
	o.top_p = C.float(options.TopP)
	o.min_p = C.float(options.MinP)
	o.repeat_penalty = C.float(options.RepeatPenalty)
	o.frequency_penalty = C.float(options.FrequencyPenalty)
	o.presence_penalty = C.float(options.PresencePenalty)
	o.penalty_window = C.int32_t(options.PenaltyWindow)
	o.seed = C.uint64_t(options.Seed)
	first, bias := array[C.bitnet_logit_bias](m, len(options.Bias))
	for i, b := range options.Bias {
		bias[i] = C.bitnet_logit_bias{token: C.int32_t(b.Token), bias: C.float(b.Bias)}
	}
	o.bias_count = C.uint32_t(len(bias))
	o.bias = first
	return o
}

// Sampler picks tokens from logits, of any model or none.
type Sampler struct {
	mu     sync.Mutex
	handle *C.bitnet_sampler
}

// NewSampler opens a sampler; nil options pick greedily. ErrArgument: an option is out of its range or a token is
// biased twice; the sentence says which.
func NewSampler(options *SamplerOptions) (*Sampler, error) {
	if err := checkLibrary(); err != nil {
		return nil, err
	}
	if options == nil {
		options = &SamplerOptions{}
	}
	var memory cMemory
	defer memory.free()
	o := memory.sampling(options)
	s := &Sampler{}
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_sampler_open(&o, &s.handle, why)
	}); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(s, func(s *Sampler) { s.Close() })
	return s, nil
}

// Close frees the sampler. It always returns nil.
func (s *Sampler) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	C.bitnet_sampler_close(s.handle)
	s.handle = nil
	runtime.SetFinalizer(s, nil)
	return nil
}

// try makes a call while nobody else does.
func (s *Sampler) try(f func(why *C.bitnet_error) C.bitnet_status) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handle == nil {
		return closedError("sampler")
	}
	_, err := call(f)
	return err
}

// Sample picks from logits, 1 to 2^23 of them, which are not changed. The same call again picks the same: Accept is
// what moves on. A logit of +Inf wins outright. ErrArgument: a logit is NaN, all are -Inf, or a token with a bias is
// not below len(logits).
func (s *Sampler) Sample(logits []float32) (int32, error) {
	var token C.int32_t
	err := s.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_sample(s.handle, first[C.float](logits), C.uint64_t(len(logits)), &token, why)
	})
	return int32(token), err
}

// Accept tells the sampler that this token was taken: it counts for the penalties, and the next pick is a new draw.
func (s *Sampler) Accept(token int32) error {
	return s.try(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_sampler_accept(s.handle, C.int32_t(token), why)
	})
}

// Reset forgets all accepted tokens and starts at the first draw again.
func (s *Sampler) Reset() error {
	return s.try(func(*C.bitnet_error) C.bitnet_status {
		C.bitnet_sampler_reset(s.handle)
		return C.BITNET_OK
	})
}
