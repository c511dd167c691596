package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

// conversation is a chat: what was said so far, within the room the context has.
type conversation struct {
	model     *bitnet.Model
	context   *bitnet.Context
	modelName string
	positions uint64 // of the context, and no more than the model was trained for
	sampling  bitnet.SamplerOptions
	maxTokens uint64
	system    string
	turns     []turn
}

type turn struct{ question, reply string }

func newConversation(model *bitnet.Model, context *bitnet.Context, s settings) (*conversation, error) {
	info, err := model.Info()
	if err != nil {
		return nil, err
	}
	stats, err := context.Stats()
	if err != nil {
		return nil, err
	}
	c := &conversation{model: model, context: context, modelName: info.Name, positions: stats.Positions,
		sampling: s.sampling, system: s.system}
	if trained := uint64(info.ContextLength); trained < c.positions {
		c.positions = trained
	}
	if s.maxTokens != nil {
		c.maxTokens = *s.maxTokens
	}
	// A model that cannot chat fails here, not after the first question.
	_, err = c.promptTokens("")
	return c, err
}

// reset forgets what was said; the system message stays.
func (c *conversation) reset() { c.turns = nil }

func (c *conversation) setSystem(text string) {
	c.system = text
	c.reset()
}

func (c *conversation) messages(question string) []bitnet.Message {
	var list []bitnet.Message
	if c.system != "" {
		list = append(list, bitnet.Message{Role: "system", Content: c.system})
	}
	for _, t := range c.turns {
		list = append(list, bitnet.Message{Role: "user", Content: t.question},
			bitnet.Message{Role: "assistant", Content: t.reply})
	}
	return append(list, bitnet.Message{Role: "user", Content: question})
}

func (c *conversation) promptTokens(question string) (uint64, error) {
	tokens, err := c.model.ChatTokenize(c.messages(question), "")
	return uint64(len(tokens)), err
}

// makeRoom drops the oldest turns until the prompt leaves a quarter of the context to the reply (less, if the reply is
// limited to less). A question too long for that alone is left to the library to judge.
func (c *conversation) makeRoom(question string) error {
	room := c.positions / 4
	if c.maxTokens != 0 && c.maxTokens < room {
		room = c.maxTokens
	}
	dropped := 0
	for len(c.turns) > 0 {
		tokens, err := c.promptTokens(question)
		if err != nil {
			return err
		}
		if tokens+room <= c.positions {
			break
		}
		c.turns = c.turns[1:]
		dropped++
	}
	if dropped > 0 {
		note("chat: the context is full: dropped the oldest %d of the turns\n", dropped)
	}
	return nil
}

// answer prints the reply piece by piece; whole is false when Ctrl-C ended it. After an error the question counts as
// not asked.
func (c *conversation) answer(question string) (whole bool, err error) {
	if err := c.makeRoom(question); err != nil {
		return false, err
	}
	generator, err := c.context.NewGenerator(&bitnet.GenerateOptions{
		Messages: c.messages(question), MaxTokens: c.maxTokens, Sampling: c.sampling})
	if err != nil {
		return false, err
	}
	defer generator.Close()
	reply, whole, err := printReply(generator)
	if outErr := show("\n"); err == nil {
		err = outErr
	}
	if err != nil {
		return false, err
	}
	info, err := generator.Info()
	if err != nil {
		return false, err
	}
	if info.EndReason == bitnet.EndContext {
		note("chat: the context is full: the reply ends early\n")
	}
	if isTerminal(os.Stderr) {
		noteSpeed(info)
	}
	if reply != "" { // nothing said is nothing to remember
		c.turns = append(c.turns, turn{question, reply})
	}
	return whole, nil
}

// printReply prints a reply as it comes. Ctrl-C ends it early, and is what it is otherwise before and after.
func printReply(generator *bitnet.Generator) (reply string, whole bool, err error) {
	ctx := context.Background()
	if !signal.Ignored(os.Interrupt) {
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	var said strings.Builder
	for {
		piece, err := generator.Next(ctx)
		if err == io.EOF {
			return said.String(), true, nil
		}
		if errors.Is(err, bitnet.ErrCancelled) {
			return said.String(), false, nil
		}
		if err != nil {
			return said.String(), false, err
		}
		said.WriteString(piece)
		if err := show(piece); err != nil {
			return said.String(), false, err
		}
	}
}

func noteSpeed(info bitnet.GenerateInfo) {
	speed := func(tokens uint64, time time.Duration) float64 {
		if time <= 0 {
			return 0
		}
		return float64(tokens) / time.Seconds()
	}
	tokens, computed := uint64(len(info.Tokens)), info.PromptTokens-info.ReusedTokens
	note("[%d tokens, %.1f tokens/s; prompt %d tokens, %d of them computed, %.1f tokens/s]\n",
		tokens, speed(tokens, info.DecodeTime), info.PromptTokens, computed, speed(computed, info.PromptTime))
}
