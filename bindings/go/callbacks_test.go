package bitnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

var errMine = errors.New("my own reason")

// panicOf gives what f panics with.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func openBytes(data []byte, options *bitnet.ModelOptions) (*bitnet.Model, error) {
	return bitnet.OpenModelReaderAt(bytes.NewReader(data), int64(len(data)), options)
}

// twoDefects are keys without which a model is opened with a warning each.
var twoDefects = []string{"tokenizer.ggml.pre", "tokenizer.ggml.token_type"}

// defective is the small model without these keys.
func defective(t *testing.T, keys ...string) []byte {
	data := smallBytes(t)
	for _, key := range keys {
		data = bytes.Replace(data, []byte(key), []byte(strings.ToUpper(key)), 1)
	}
	return data
}

func TestLog(t *testing.T) {
	var lines []string
	// The CPU by name: that there is no other device would be a line of its own.
	options := &bitnet.ModelOptions{Device: "cpu", Log: func(level bitnet.LogLevel, text string) {
		lines = append(lines, level.String()+": "+text)
	}}
	model := must[*bitnet.Model](t)(openBytes(defective(t, "tokenizer.ggml.pre"), options))
	defer model.Close()
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "warning: ") || !strings.Contains(lines[0], "tokenizer.ggml.pre") {
		t.Errorf("the log is %q, expected one warning of tokenizer.ggml.pre", lines)
	}
	lines = nil
	check(t, must[*bitnet.Model](t)(openBytes(defective(t, twoDefects...), options)).Close())
	if len(lines) != 2 {
		t.Errorf("the log is %q, expected two warnings", lines)
	}
	options.Flags = bitnet.ModelStrict
	_, err := openBytes(defective(t, "tokenizer.ggml.pre"), options)
	refused(t, err, bitnet.ErrUnsupported, "tokenizer.ggml.pre")
}

func TestProgress(t *testing.T) {
	var seen []float64
	open(t, smallModel, &bitnet.ModelOptions{Progress: func(done float64) error {
		seen = append(seen, done)
		return nil
	}})
	for i := 1; i < len(seen); i++ {
		if seen[i] < seen[i-1] {
			t.Errorf("progress fell from %v to %v", seen[i-1], seen[i])
		}
	}
	if len(seen) == 0 || seen[len(seen)-1] != 1 {
		t.Errorf("progress was %v, expected up to 1", seen)
	}

	ctx, cancel := context.WithCancel(background)
	calls := 0
	_, err := bitnet.OpenModel(smallModel, &bitnet.ModelOptions{Progress: func(float64) error {
		calls++
		cancel()
		return ctx.Err()
	}})
	stopped(t, err, context.Canceled)
	if calls != 1 {
		t.Errorf("progress was called %d times, expected once", calls)
	}
}

type readerFunc func(to []byte, offset int64) (int, error)

func (f readerFunc) ReadAt(to []byte, offset int64) (int, error) { return f(to, offset) }

func TestReader(t *testing.T) {
	data := smallBytes(t)
	whole := bytes.NewReader(data)
	model := must[*bitnet.Model](t)(openBytes(data, nil))
	info := must[bitnet.ModelInfo](t)(model.Info())
	check(t, model.Close())
	if info != withLoadTime(must[bitnet.ModelInfo](t)(open(t, smallModel, nil).Info()), info) {
		t.Errorf("the model read is not the model in the file: %+v", info)
	}
	_, err := bitnet.OpenModelReaderAt(readerFunc(func(to []byte, offset int64) (int, error) {
		n, _ := whole.ReadAt(to[:len(to)/2], offset)
		return n, errMine
	}), int64(len(data)), nil)
	refused(t, err, bitnet.ErrIO)
	if !errors.Is(err, errMine) {
		t.Errorf("'%v' does not have the reader's error", err)
	}
	_, err = bitnet.OpenModelReaderAt(whole, int64(len(data))+1000, nil)
	refused(t, err, bitnet.ErrIO)
	if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("'%v' does not have io.ErrUnexpectedEOF, or has io.EOF", err)
	}
}

// withLoadTime makes two descriptions comparable.
func withLoadTime(info, from bitnet.ModelInfo) bitnet.ModelInfo {
	info.LoadTime = from.LoadTime
	return info
}

func TestPanicsInCallbacks(t *testing.T) {
	data, flawed := smallBytes(t), defective(t, "tokenizer.ggml.pre")
	for name, call := range map[string]func(){
		"log": func() {
			openBytes(flawed, &bitnet.ModelOptions{Log: func(bitnet.LogLevel, string) { panic(errMine) }})
		},
		"progress": func() {
			bitnet.OpenModel(smallModel, &bitnet.ModelOptions{Progress: func(float64) error { panic(errMine) }})
		},
		"reader": func() {
			bitnet.OpenModelReaderAt(readerFunc(func([]byte, int64) (int, error) { panic(errMine) }), int64(len(data)), nil)
		},
	} {
		if found := panicOf(call); found != errMine {
			t.Errorf("%s: the panic is %v, expected %v", name, found, errMine)
		}
	}
	if reply := readAll(t, ask(t, openContext(t, open(t, smallModel, nil), nil), question)); reply != answer {
		t.Errorf("afterwards the reply is '%s'", reply)
	}
}

// The panic ends the opening, whether or not Progress is there to be asked; no callback is called after it. (The test
// script runs this test alone and finds that no model was opened.)
func TestPanicInLogEndsTheOpening(t *testing.T) {
	flawed := defective(t, twoDefects...)
	calls := 0
	log := func(bitnet.LogLevel, string) { calls++; panic(errMine) }
	for name, options := range map[string]*bitnet.ModelOptions{
		"Log alone":        {Log: log},
		"Log and Progress": {Log: log, Progress: func(float64) error { calls++; return nil }},
	} {
		calls = 0
		if found := panicOf(func() { openBytes(flawed, options) }); found != errMine || calls != 1 {
			t.Errorf("%s: the panic is %v after %d calls, expected %v after one", name, found, calls, errMine)
		}
	}
}

// logitsAfter reads the question in a context with these options.
func logitsAfter(t *testing.T, model *bitnet.Model, options *bitnet.ContextOptions) []float32 {
	t.Helper()
	c := openContext(t, model, options)
	tokens := must[[]int32](t)(model.Tokenize(question, bitnet.TokenizeSpecial))
	check(t, c.Decode(background, batchOf(tokens, bitnet.WantLogits)))
	return must[[]float32](t)(c.AppendLogits(nil, len(tokens)-1))
}

func TestExecute(t *testing.T) {
	model := open(t, smallModel, nil)
	expected := logitsAfter(t, model, &bitnet.ContextOptions{Threads: 1})
	calls := 0
	for name, execute := range map[string]func(task func(int), count int){
		"goroutines": func(task func(int), count int) {
			calls++
			var all sync.WaitGroup
			for i := 0; i < count; i++ {
				all.Add(1)
				go func(i int) { defer all.Done(); task(i) }(i)
			}
			all.Wait()
		},
		"one after the other": func(task func(int), count int) {
			for i := count - 1; i >= 0; i-- {
				task(i)
			}
		},
		"twice and out of range": func(task func(int), count int) {
			for i := -2; i < count+2; i++ {
				task(i)
				task(i)
			}
		},
		"left out": func(task func(int), count int) { task(1) },
		"late":     func(task func(int), count int) { go task(0) },
	} {
		t.Run(name, func(t *testing.T) {
			found := logitsAfter(t, model, &bitnet.ContextOptions{Threads: 3, Execute: execute})
			if !reflect.DeepEqual(found, expected) {
				t.Error("the logits are others")
			}
		})
	}
	if calls == 0 {
		t.Error("Execute was not called")
	}
}

func TestPanicInExecute(t *testing.T) {
	model := open(t, smallModel, nil)
	fail := false
	c := openContext(t, model, &bitnet.ContextOptions{Threads: 2, Execute: func(task func(int), count int) {
		if task(0); fail {
			panic(errMine)
		}
	}})
	tokens := must[[]int32](t)(model.Tokenize(question, 0))
	fail = true
	if found := panicOf(func() { c.Decode(background, batchOf(tokens, 0)) }); found != errMine {
		t.Errorf("the panic is %v, expected %v", found, errMine)
	}
	fail = false
	if reply := readAll(t, ask(t, c, question)); reply != answer {
		t.Errorf("afterwards the reply is '%s'", reply)
	}
}
