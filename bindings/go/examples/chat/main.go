// Command chat talks with a BitNet model: a conversation at the terminal, from a pipe, or one question from the command
// line. Its output is that of the program `bitnet chat`, and with -p that of `bitnet run -p`.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

const usage = `usage: chat [QUESTION...] [options]

Answers a question and ends; or, without one, each line of standard input.
/help lists what else can be typed. With -p, continues a text instead.

options:
  -m, --model FILE        the model: a GGUF file; without it, the small one built in
  --system TEXT           the system message
  -p, --prompt TEXT       continue this text; control tokens in it are parsed
  -t, --threads N         threads; 0 (default): one for each core
  -n, --max-tokens N      stop after N tokens; 0: no limit (default: none, with -p 128)
  --temp T                temperature; 0 (default): greedy
  --seed S                the same seed gives the same text everywhere (default: 0)
  --top-k K               draw from the K likeliest tokens; 0: from all
  --top-p P               draw from the fewest tokens that reach probability P; 0 or 1: all
  --min-p P               drop tokens below P times the largest probability; 0: none
`

const commands = `/reset          forget what was said
/system TEXT    start anew under this system message (without TEXT: under none)
/help           this list
/exit           leave, as the end of input does
Ctrl-C stops a reply; at the prompt it leaves.
`

// Exit statuses.
const (
	failed      = 1
	wrongUsage  = 2
	interrupted = 130 // as shells say it
)

type settings struct {
	model, system string
	prompt        *string
	threads       int32
	maxTokens     *uint64
	sampling      bitnet.SamplerOptions
	question      string
}

// number makes an option's function of a number's parser.
func number[T any](expected string, parse func(text string) (T, error), set func(T)) func(string) error {
	return func(text string) error {
		value, err := parse(text)
		if err != nil {
			return errors.New("expected " + expected)
		}
		set(value)
		return nil
	}
}

func parseArguments(arguments []string) (settings, error) {
	var s settings
	options := flag.NewFlagSet("chat", flag.ContinueOnError)
	options.SetOutput(io.Discard)
	value := func(names string, set func(string) error) {
		for _, name := range strings.Fields(names) {
			options.Func(name, "", set)
		}
	}
	text := func(names string, set func(string)) {
		value(names, func(text string) error { set(text); return nil })
	}
	whole := func(names string, to *int32) {
		value(names, number("a whole number below 2^31", func(text string) (int64, error) {
			return strconv.ParseInt(text, 10, 32)
		}, func(n int64) { *to = int32(n) }))
	}
	unsigned := func(names string, set func(uint64)) {
		value(names, number("a whole number from 0 to 2^64 - 1", func(text string) (uint64, error) {
			return strconv.ParseUint(text, 10, 64)
		}, set))
	}
	real := func(names string, to *float32) {
		value(names, number("a number", func(text string) (float64, error) {
			return strconv.ParseFloat(text, 32)
		}, func(x float64) { *to = float32(x) }))
	}
	text("m model", func(text string) { s.model = text })
	text("system", func(text string) { s.system = text })
	text("p prompt", func(text string) { s.prompt = &text })
	whole("t threads", &s.threads)
	unsigned("n max-tokens", func(n uint64) { s.maxTokens = &n })
	unsigned("seed", func(n uint64) { s.sampling.Seed = n })
	real("temp", &s.sampling.Temperature)
	whole("top-k", &s.sampling.TopK)
	real("top-p", &s.sampling.TopP)
	real("min-p", &s.sampling.MinP)

	// Package flag stops at the first word; options may follow words here.
	var words []string
	for len(arguments) > 0 {
		if err := options.Parse(arguments); err != nil {
			return s, err
		}
		rest := options.Args()
		parsed := len(arguments) - len(rest)
		if parsed > 0 && arguments[parsed-1] == "--" {
			words = append(words, rest...)
			break
		}
		if len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
		arguments = rest
	}
	s.question = strings.Join(words, " ")
	if s.prompt != nil && len(words) > 0 {
		return s, fmt.Errorf("'%s' is not expected with -p", words[0])
	}
	return s, nil
}

func openModel(s settings) (*bitnet.Model, error) {
	options := &bitnet.ModelOptions{Threads: s.threads, Log: func(level bitnet.LogLevel, text string) {
		if level <= bitnet.LogWarning {
			note("chat: %s: %s\n", level, text)
		}
	}}
	if s.model == "" {
		return bitnet.OpenModelMemory(builtInModel(), options)
	}
	return bitnet.OpenModel(s.model, options)
}

func run(s settings) (status int, err error) {
	model, err := openModel(s)
	if err != nil {
		return failed, err
	}
	defer model.Close()
	context, err := model.NewContext(&bitnet.ContextOptions{Sequences: 1, Threads: s.threads})
	if err != nil {
		return failed, err
	}
	defer context.Close()
	if s.prompt != nil {
		return continueText(context, s)
	}
	talk, err := newConversation(model, context, s)
	if err != nil {
		return failed, err
	}
	if s.question == "" {
		return answerLines(talk)
	}
	whole, err := talk.answer(s.question)
	if err != nil {
		return failed, err
	}
	if !whole {
		return interrupted, nil
	}
	return 0, nil
}

// continueText does what `bitnet run -p` does.
func continueText(context *bitnet.Context, s settings) (status int, err error) {
	options := &bitnet.GenerateOptions{Prompt: *s.prompt, MaxTokens: 128, Sampling: s.sampling}
	if s.maxTokens != nil {
		options.MaxTokens = *s.maxTokens
	}
	generator, err := context.NewGenerator(options)
	if err != nil {
		return failed, err
	}
	defer generator.Close()
	_, whole, err := printReply(generator)
	if err != nil {
		return failed, err
	}
	if err := show("\n"); err != nil {
		return failed, err
	}
	if !whole {
		return interrupted, nil
	}
	return 0, nil
}

// answerLines answers each line of standard input. A question that fails does not end the chat, but shows in the exit
// status.
func answerLines(talk *conversation) (status int, err error) {
	typed := isTerminal(os.Stdin)
	if typed {
		note("%s. /help lists the commands.\n", printable(talk.modelName))
	}
	input := bufio.NewReader(os.Stdin)
	for {
		if typed && isTerminal(os.Stdout) {
			if err := show("> "); err != nil {
				return failed, err
			}
		}
		line, err := input.ReadString('\n')
		if err != nil && (err != io.EOF || line == "") {
			break
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.Trim(line, " \t") == "" {
			continue
		}
		switch command, rest, _ := strings.Cut(line, " "); command {
		case "/exit":
			return status, nil
		case "/help":
			note("%s", commands)
		case "/reset":
			talk.reset()
		case "/system":
			talk.setSystem(rest)
		default:
			var output *outputError
			if _, err := talk.answer(line); errors.As(err, &output) {
				return failed, err
			} else if err != nil {
				note("chat: %v\n", err)
				status = failed
			}
		}
	}
	if typed {
		return status, show("\n")
	}
	return status, nil
}

// outputError is that nobody can read what is said.
type outputError struct{ err error }

func (e *outputError) Error() string { return "standard output: " + e.err.Error() }

func show(text string) error {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return &outputError{errors.Unwrap(err)}
	}
	return nil
}

func note(format string, values ...any) { fmt.Fprintf(os.Stderr, format, values...) }

// printable keeps a text of a file from giving orders to the terminal.
func printable(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func main() {
	s, err := parseArguments(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		if err = show(usage); err == nil {
			return
		}
	}
	if err != nil {
		note("chat: %v; see chat --help\n", err)
		os.Exit(wrongUsage)
	}
	status, err := run(s)
	if err != nil {
		note("chat: %v\n", err)
		status = failed
	}
	os.Exit(status)
}
