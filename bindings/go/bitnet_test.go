package bitnet_test

import (
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

func TestVersion(t *testing.T) {
	if found := bitnet.LibraryVersion(); found != bitnet.Version {
		t.Errorf("the library is %s, the package %s", found, bitnet.Version)
	}
}

func TestModel(t *testing.T) {
	model := open(t, smallModel, &bitnet.ModelOptions{Weights: bitnet.Weights2Bit, Head: bitnet.HeadFull})
	info := must[bitnet.ModelInfo](t)(model.Info())
	if info.Family != "bitnet-b1.58" || info.ChatTemplate == "" || info.Weights != bitnet.Weights2Bit ||
		info.Head != bitnet.HeadFull || info.VocabSize <= 0 || info.LoadTime <= 0 || info.Activation == 0 {
		t.Errorf("the model is %+v", info)
	}
	keys := must[[]string](t)(model.MetadataKeys())
	if len(keys) < 10 || keys[0] != "general.architecture" {
		t.Errorf("the keys are %q", keys)
	}
	if family := must[string](t)(model.MetadataText(keys[0], 1)); family != info.Family {
		t.Errorf("%s is '%s', expected '%s'", keys[0], family, info.Family)
	}
	all := must[string](t)(model.MetadataText("tokenizer.ggml.tokens", math.MaxUint64))
	var tokens []string
	if err := json.Unmarshal([]byte(all), &tokens); err != nil || len(tokens) != int(info.VocabSize) {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	parameters := uint64(0)
	for _, tensor := range must[[]bitnet.TensorInfo](t)(model.Tensors()) {
		numbers := uint64(1)
		for _, n := range tensor.Shape {
			numbers *= n
		}
		parameters += numbers
		if tensor.Name == "" || tensor.Type == "" || tensor.Offset+tensor.Bytes > info.FileBytes {
			t.Errorf("a tensor is %+v", tensor)
		}
	}
	if parameters != info.Parameters {
		t.Errorf("the tensors have %d numbers, the model %d", parameters, info.Parameters)
	}
	estimate := must[bitnet.Estimate](t)(open(t, smallModel, &bitnet.ModelOptions{Flags: bitnet.ModelDescribe}).Estimate(
		&bitnet.ContextOptions{Positions: 128}))
	if estimate.CacheBytes == 0 || estimate.TotalBytes < estimate.CacheBytes+estimate.WorkBytes+estimate.WeightBytes {
		t.Errorf("the estimate is %+v", estimate)
	}
}

func TestPathIsUTF8(t *testing.T) {
	path := filepath.Join(t.TempDir(), "größer 日本語 🦊.gguf")
	check(t, os.WriteFile(path, smallBytes(t), 0o600))
	if reply := readAll(t, ask(t, openContext(t, open(t, path, nil), nil), question)); reply != answer {
		t.Errorf("found '%s', expected '%s'", reply, answer)
	}
}

// What a variable of the package holds does not move, so C may keep it as it does the bytes of a go:embed variable.
var embedded struct {
	about *string
	file  [4 << 20]byte
}

func TestOpenMemory(t *testing.T) {
	about := strings.Clone("the small model")
	embedded.about = &about
	data := embedded.file[:copy(embedded.file[:], smallBytes(t))]
	model := must[*bitnet.Model](t)(bitnet.OpenModelMemory(data, nil))
	defer model.Close()
	if reply := readAll(t, ask(t, openContext(t, model, nil), question)); reply != answer {
		t.Errorf("found '%s', expected '%s'", reply, answer)
	}
	_, err := bitnet.OpenModelMemory(nil, nil)
	refused(t, err, bitnet.ErrFormat)
}

func TestTokens(t *testing.T) {
	model := open(t, smallModel, nil)
	for _, text := range []string{"", "The capital", "größer — 日本語 🦊", "a\x00b", "\xff\xfe",
		strings.Repeat("long ", 500)} {
		tokens := must[[]int32](t)(model.Tokenize(text, 0))
		if found := must[string](t)(model.Detokenize(tokens, 0)); found != text {
			t.Errorf("%q became %q", text, found)
		}
		pieces := ""
		for _, token := range tokens {
			pieces += must[string](t)(model.TokenPiece(token, 0))
		}
		if pieces != text {
			t.Errorf("%q has the pieces %q", text, pieces)
		}
	}
	info := must[bitnet.ModelInfo](t)(model.Info())
	if !must[bool](t)(model.TokenIsEnd(info.EOTToken)) || must[bool](t)(model.TokenIsEnd(5)) {
		t.Error("TokenIsEnd does not know the end of a turn")
	}
	end := must[string](t)(model.TokenPiece(info.EOTToken, bitnet.DetokenizeSpecial))
	parsed := must[[]int32](t)(model.Tokenize(end, bitnet.TokenizeParse|bitnet.TokenizeSpecial))
	if !reflect.DeepEqual(parsed, []int32{info.BOSToken, info.EOTToken}) {
		t.Errorf("%q became %v, expected the begin token and %d", end, parsed, info.EOTToken)
	}
	messages := []bitnet.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "a\x00" + end}}
	chat := must[[]int32](t)(model.ChatTokenize(messages, ""))
	text := must[string](t)(model.ChatRender(messages, info.ChatTemplate))
	found := must[string](t)(model.Detokenize(chat, bitnet.DetokenizeSpecial))
	if found != text || !strings.Contains(text, "a\x00"+end) {
		t.Errorf("the messages are %q as tokens and %q as text", found, text)
	}
}

func TestDecode(t *testing.T) {
	model, c := small(t, nil)
	info := must[bitnet.ModelInfo](t)(model.Info())
	tokens := must[[]int32](t)(model.ChatTokenize([]bitnet.Message{{Role: "user", Content: question}}, ""))
	last := len(tokens) - 1
	check(t, c.Decode(background, batchOf(tokens, bitnet.WantLogits|bitnet.WantEmbedding|bitnet.WantSample)))
	logits := must[[]float32](t)(c.AppendLogits([]float32{7}, last))
	if len(logits) != 1+int(info.VocabSize) || logits[0] != 7 {
		t.Fatalf("%d logits, the first %v", len(logits), logits[0])
	}
	if embedding := must[[]float32](t)(c.AppendEmbedding(nil, last)); len(embedding) != int(info.Width) {
		t.Errorf("%d numbers in the embedding, expected %d", len(embedding), info.Width)
	}
	_, err := c.AppendLogits(nil, 0)
	refused(t, err, bitnet.ErrState)

	// Picking from the context is picking from its logits.
	for seed := uint64(0); seed < 5; seed++ {
		sampler := must[*bitnet.Sampler](t)(bitnet.NewSampler(&bitnet.SamplerOptions{
			Temperature: 1.5, TopK: 40, Seed: seed, Bias: []bitnet.LogitBias{{Token: 3, Bias: float32(math.Inf(-1))}}}))
		found := must[int32](t)(c.Sample(background, last, uint64(info.VocabSize), sampler))
		if expected := must[int32](t)(sampler.Sample(logits[1:])); found != expected {
			t.Errorf("picked %d, expected %d", found, expected)
		}
		check(t, sampler.Accept(found))
		check(t, sampler.Reset())
		if again := must[int32](t)(sampler.Sample(logits[1:])); again != found {
			t.Errorf("after Reset %d was picked, expected %d", again, found)
		}
		check(t, sampler.Close())
	}

	// Sequences: saved, loaded, forked, cut.
	saved := must[[]byte](t)(c.Save(0))
	other := openContext(t, model, nil)
	check(t, other.Load(3, saved))
	check(t, other.SequenceFork(3, 4))
	if found := must[int](t)(other.SequenceMatch(4, tokens)); found != len(tokens) {
		t.Errorf("%d of %d tokens came along", found, len(tokens))
	}
	check(t, other.SequenceTruncate(4, 2))
	if a, b := must[int](t)(other.SequenceLength(3)), must[int](t)(other.SequenceLength(4)); a != len(tokens) || b != 2 {
		t.Errorf("the sequences have %d and %d positions, expected %d and 2", a, b, len(tokens))
	}
	saved[len(saved)/2] ^= 1
	refused(t, other.Load(3, saved), bitnet.ErrFormat)

	stats := must[bitnet.ContextStats](t)(c.Stats())
	if stats.Batches != 1 || stats.Tokens != uint64(len(tokens)) || stats.Positions < uint64(info.ContextLength) {
		t.Errorf("the statistics are %+v", stats)
	}
	var receipt struct{ Schema string }
	check(t, json.Unmarshal(must[[]byte](t)(c.Receipt()), &receipt))
	if receipt.Schema != "bitnet-receipt-1" {
		t.Errorf("the receipt's schema is %s", receipt.Schema)
	}
}

// Saved bytes may lie anywhere, also inside of what has pointers to Go memory.
func TestLoadFromAStruct(t *testing.T) {
	model, c := small(t, nil)
	tokens := must[[]int32](t)(model.Tokenize(question, 0))
	check(t, c.Decode(background, batchOf(tokens, 0)))
	saved := must[[]byte](t)(c.Save(0))
	var message struct {
		about *string
		body  [1 << 20]byte
	}
	about := strings.Clone("a sequence")
	message.about = &about
	check(t, c.Load(1, message.body[:copy(message.body[:], saved)]))
	if found := must[int](t)(c.SequenceMatch(1, tokens)); found != len(tokens) {
		t.Errorf("%d of %d tokens came along with %s", found, len(tokens), *message.about)
	}
}

func TestGenerator(t *testing.T) {
	model, c := small(t, nil)
	g := ask(t, c, question)
	if reply := readAll(t, g); reply != answer {
		t.Errorf("found '%s', expected '%s'", reply, answer)
	}
	for i := 0; i < 2; i++ { // the end stays
		if _, err := g.Next(background); err != io.EOF {
			t.Errorf("behind the end comes %v", err)
		}
	}
	info := must[bitnet.GenerateInfo](t)(g.Info())
	if text := must[string](t)(model.Detokenize(info.Tokens, 0)); info.EndReason != bitnet.EndToken || text != answer {
		t.Errorf("ended by '%v', with the tokens of '%s'", info.EndReason, text)
	}
	again := ask(t, c, question)
	readAll(t, again)
	if info := must[bitnet.GenerateInfo](t)(again.Info()); info.ReusedTokens == 0 {
		t.Error("nothing of the same prompt was reused")
	}

	stop := must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{
		Messages: []bitnet.Message{{Role: "user", Content: question}}, Stop: []string{"never said", " France"}}))
	if reply := readAll(t, stop); !strings.HasPrefix(answer, reply) || strings.Contains(reply, "France") {
		t.Errorf("up to the stop text it is '%s'", reply)
	}
	limit := must[*bitnet.Generator](t)(c.NewGenerator(&bitnet.GenerateOptions{
		Prompt: "größer", MaxTokens: 5, Flags: bitnet.GenerateIgnoreEnd | bitnet.GenerateSpecial, Drafts: -1,
		Sampling: bitnet.SamplerOptions{Temperature: 2, Seed: 1 << 60}}))
	readAll(t, limit)
	if info := must[bitnet.GenerateInfo](t)(limit.Info()); info.EndReason != bitnet.EndLimit || len(info.Tokens) != 5 {
		t.Errorf("ended by '%v' after %d tokens, expected '%v' after 5", info.EndReason, len(info.Tokens), bitnet.EndLimit)
	}
	must[*bitnet.Generator](t)(c.NewGenerator(nil)) // the empty text
}

func TestMachine(t *testing.T) {
	names := bitnet.ISANames()
	if len(names) == 0 || names[0] != "reference" {
		t.Errorf("the instruction sets are %q", names)
	}
	devices := must[[]bitnet.DeviceInfo](t)(bitnet.Devices())
	if len(devices) < 2 || devices[0].Name != "cpu" || !devices[0].Usable || devices[0].Processors < 1 {
		t.Errorf("the devices are %+v", devices)
	}
	for _, device := range devices {
		if device.Usable != (device.Reason == "") {
			t.Errorf("%s: usable %v, reason %q", device.Name, device.Usable, device.Reason)
		}
	}
	limits := must[bitnet.MachineLimits](t)(bitnet.MeasureMachine(&bitnet.MachineOptions{Threads: 1}))
	if !(limits.StreamGBPerS > 0 && limits.Int8GMACPerS > 0) {
		t.Errorf("the limits are %+v", limits)
	}
}

func TestNamesOfNumbers(t *testing.T) {
	for _, test := range []struct{ found, expected string }{
		{bitnet.ErrCancelled.String(), "BITNET_E_CANCELLED"}, {bitnet.LogWarning.String(), "warning"},
		{bitnet.I2S4Row.String(), "4row"}, {bitnet.EndContext.String(), "context"},
		{bitnet.EndReason(99).String(), "EndReason(99)"},
	} {
		if test.found != test.expected {
			t.Errorf("found '%s', expected '%s'", test.found, test.expected)
		}
	}
}
