package bitnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

// refused checks that err has the status, and a sentence with these words.
func refused(t *testing.T, err error, status bitnet.Status, words ...string) {
	t.Helper()
	var reason *bitnet.Error
	if !errors.Is(err, status) || !errors.As(err, &reason) || reason.Status != status {
		t.Fatalf("found %v, expected an *Error with %v", err, status)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("'%v' does not say '%s'", err, word)
		}
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dépôt", "no-such-file.gguf")
	model, err := bitnet.OpenModel(path, nil)
	refused(t, err, bitnet.ErrIO, path)
	if model != nil {
		t.Error("there is a model")
	}
	if errors.Is(err, bitnet.ErrFormat) || errors.Is(err, bitnet.ErrClosed) || errors.Is(err, io.EOF) {
		t.Error("the error is another, too")
	}
	if name := bitnet.ErrIO.Error(); name != "BITNET_E_IO" {
		t.Errorf("ErrIO is called %s", name)
	}
}

func TestDamagedFile(t *testing.T) {
	whole := smallBytes(t)
	folder := t.TempDir()
	for _, size := range []int{0, 3, 100, 70000, len(whole) / 2, len(whole) - 1} {
		path := filepath.Join(folder, "cut.gguf")
		check(t, os.WriteFile(path, whole[:size], 0o600))
		_, err := bitnet.OpenModel(path, nil)
		refused(t, err, bitnet.ErrFormat)
		_, err = bitnet.OpenModelReaderAt(bytes.NewReader(whole[:size]), int64(size), nil)
		refused(t, err, bitnet.ErrFormat)
	}
	// Any byte of the description may be any other: an error or a model, nothing else.
	failed := 0
	for at := 0; at < 2000; at += 13 {
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 0xff
		model, err := bitnet.OpenModelReaderAt(bytes.NewReader(damaged), int64(len(damaged)),
			&bitnet.ModelOptions{Flags: bitnet.ModelDescribe})
		if err != nil {
			failed++
			var reason *bitnet.Error
			if !errors.As(err, &reason) || reason.Message == "" {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		check(t, model.Close())
	}
	if failed == 0 {
		t.Error("no damage was found")
	}
}

func TestFullContext(t *testing.T) {
	model, c := small(t, &bitnet.ContextOptions{Positions: 64})
	tokens := must[[]int32](t)(model.Tokenize(strings.Repeat("word ", 100), 0))
	refused(t, c.Decode(background, batchOf(tokens, 0)), bitnet.ErrContextFull)
	if length := must[int](t)(c.SequenceLength(0)); length != 0 {
		t.Errorf("%d positions were taken by a batch that failed", length)
	}
	_, err := c.NewGenerator(&bitnet.GenerateOptions{Tokens: tokens})
	refused(t, err, bitnet.ErrContextFull, fmt.Sprint(len(tokens)), "64")
	if reply := readAll(t, ask(t, c, question)); reply != answer {
		t.Errorf("afterwards the reply is '%s'", reply)
	}
	// A reply that runs into the end is no error.
	g := must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{
		Tokens: tokens[:60], Flags: bitnet.GenerateIgnoreEnd}))
	readAll(t, g)
	if info := must[bitnet.GenerateInfo](t)(g.Info()); info.EndReason != bitnet.EndContext {
		t.Errorf("the reply ended with '%v', expected '%v'", info.EndReason, bitnet.EndContext)
	}
}

func TestRefusals(t *testing.T) {
	model, c := small(t, nil)
	describe := open(t, smallModel, &bitnet.ModelOptions{Flags: bitnet.ModelDescribe})
	messages := []bitnet.Message{{Role: "user", Content: "x"}}
	for _, test := range []struct {
		name   string
		status bitnet.Status
		words  string
		call   func() error
	}{
		{"context of a description", bitnet.ErrState, "", func() error { _, err := describe.NewContext(nil); return err }},
		{"instruction set", bitnet.ErrUnsupported, "mmx2", func() error {
			_, err := bitnet.OpenModel(smallModel, &bitnet.ModelOptions{ISA: "mmx2"})
			return err
		}},
		{"size", bitnet.ErrArgument, "-1", func() error {
			_, err := bitnet.OpenModelReaderAt(strings.NewReader(""), -1, nil)
			return err
		}},
		{"device", bitnet.ErrDevice, "gpu7", func() error {
			_, err := bitnet.OpenModel(smallModel, &bitnet.ModelOptions{Device: "gpu7"})
			return err
		}},
		{"threads", bitnet.ErrArgument, "5000", func() error {
			_, err := model.NewContext(&bitnet.ContextOptions{Threads: 5000})
			return err
		}},
		{"metadata", bitnet.ErrNotFound, "no.such.key", func() error {
			_, err := model.MetadataText("no.such.key", 1)
			return err
		}},
		{"token", bitnet.ErrArgument, "", func() error { _, err := model.TokenPiece(-1, 0); return err }},
		{"role", bitnet.ErrArgument, "pirate", func() error {
			_, err := model.ChatTokenize([]bitnet.Message{{Role: "pirate", Content: "x"}}, "")
			return err
		}},
		{"no messages", bitnet.ErrArgument, "", func() error { _, err := model.ChatRender(nil, ""); return err }},
		{"template", bitnet.ErrArgument, "klingon", func() error {
			_, err := model.ChatRender(messages, "klingon")
			return err
		}},
		{"two prompts", bitnet.ErrArgument, "exactly one", func() error {
			_, err := c.NewGenerator(&bitnet.GenerateOptions{Prompt: "x", Messages: messages})
			return err
		}},
		{"empty batch", bitnet.ErrArgument, "", func() error { return c.Decode(background, nil) }},
		{"logits before a batch", bitnet.ErrState, "", func() error { _, err := c.AppendLogits(nil, 0); return err }},
		{"embedding before a batch", bitnet.ErrState, "", func() error { _, err := c.AppendEmbedding(nil, 0); return err }},
		{"logits before the first", bitnet.ErrArgument, "entry -1:", func() error {
			return second(c.AppendLogits(nil, -1))
		}},
		{"embedding before the first", bitnet.ErrArgument, "entry -1:", func() error {
			return second(c.AppendEmbedding(nil, -1))
		}},
		{"pick before the first", bitnet.ErrArgument, "entry -1:", func() error {
			return second(c.Sample(background, -1, 0, must[*bitnet.Sampler](t)(bitnet.NewSampler(nil))))
		}},
		{"saved text", bitnet.ErrFormat, "", func() error { return c.Load(0, []byte("no sequence")) }},
		{"saved nothing", bitnet.ErrFormat, "", func() error { return c.Load(0, nil) }},
		{"sequence", bitnet.ErrArgument, "99", func() error { return c.SequenceFork(0, 99) }},
		{"temperature", bitnet.ErrArgument, "-1", func() error {
			_, err := bitnet.NewSampler(&bitnet.SamplerOptions{Temperature: -1})
			return err
		}},
		{"bias twice", bitnet.ErrArgument, "7", func() error {
			_, err := bitnet.NewSampler(&bitnet.SamplerOptions{Bias: []bitnet.LogitBias{{Token: 7}, {Token: 7}}})
			return err
		}},
		{"empty stop", bitnet.ErrArgument, "", func() error {
			_, err := c.NewGenerator(&bitnet.GenerateOptions{Stop: []string{""}})
			return err
		}},
		{"machine", bitnet.ErrUnsupported, "mmx2", func() error {
			_, err := bitnet.MeasureMachine(&bitnet.MachineOptions{ISA: "mmx2"})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, test.call(), test.status, test.words) })
	}
	if reply := readAll(t, ask(t, c, question)); reply != answer {
		t.Errorf("afterwards the reply is '%s'", reply)
	}
}

// What C knows the end of by a NUL byte must not be cut there.
func TestNULInNames(t *testing.T) {
	model, c := small(t, nil)
	const cut = "auto\x00matic"
	openWith := func(options bitnet.ModelOptions) error { return second(bitnet.OpenModel(smallModel, &options)) }
	calls := map[string]func() error{
		"the path":         func() error { return second(bitnet.OpenModel(smallModel+"\x00.bak", nil)) },
		"Device":           func() error { return openWith(bitnet.ModelOptions{Device: cut}) },
		"ISA":              func() error { return openWith(bitnet.ModelOptions{ISA: cut}) },
		"the metadata key": func() error { return second(model.MetadataText("general.name\x00", 1)) },
		"message 1": func() error {
			_, err := model.ChatTokenize([]bitnet.Message{{Role: "user"}, {Role: "assistant\x00"}}, "")
			return err
		},
		"template": func() error {
			_, err := model.ChatRender([]bitnet.Message{{Role: "user"}}, "bitnet\x00")
			return err
		},
		"stop text 1": func() error {
			_, err := c.NewGenerator(&bitnet.GenerateOptions{Stop: []string{"a", "b\x00"}})
			return err
		},
		"option ISA": func() error { _, err := bitnet.MeasureMachine(&bitnet.MachineOptions{ISA: cut}); return err },
	}
	for place, call := range calls {
		refused(t, call(), bitnet.ErrArgument, place, "NUL")
	}
}
