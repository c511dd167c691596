package bitnet

/*
#include "callbacks.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// ModelOptions says how to open a model. The zero value is the default.
type ModelOptions struct {
	Flags      ModelFlags
	Device     string     // "auto" or "cpu"; "": auto. ModelInfo says which was taken
	ISA        string     // a name of ISANames; "": the best this processor runs
	Threads    int32      // threads that prepare the weights, 1..1024; 0: as many as there are cores
	I2SLayout  I2SLayout  // how the codes of I2_S tensors lie, which files do not tell
	Activation Activation // overrides what the file says
	Weights    Weights    // how ternary weights are kept
	Head       Head       // how the next token is found

	// Log receives the library's messages, on the goroutine of the call that has something to say: while a model is
	// opened, on several at once if several models are opened with it. nil: silence.
	Log func(level LogLevel, text string)

	// Progress is called about a hundred times at most while the weights are prepared, with done of 1.0. An error ends
	// the opening, which then fails with ErrCancelled and that error; returning a context's Err makes opening
	// cancellable. nil: none.
	Progress func(done float64) error
}

// Model is an open model: weights, tokenizer, metadata. It does not change, and all its calls may run side by side.
type Model struct {
	mu     sync.RWMutex // written by Close alone
	handle *C.bitnet_model
	state  *modelState
}

// modelState is what must stay as long as the library has the model, in a Model or in a Context of it.
type modelState struct {
	claims  atomic.Int32
	logger  *logger
	logUser unsafe.Pointer
	memory  []byte // of OpenModelMemory
}

func (s *modelState) claim() *modelState {
	s.claims.Add(1)
	return s
}

func (s *modelState) release() {
	if s.claims.Add(-1) == 0 {
		freeUser(s.logUser)
		s.logUser, s.memory = nil, nil
	}
}

func (s *modelState) rethrow() {
	if s.logger != nil {
		s.logger.rethrow()
	}
}

// OpenModel opens a GGUF file and prepares it for this machine: a second per gigabyte, with the Progress option to
// watch it. The file is mapped; somebody who truncates it while it is in use ends the process, unless Flags has
// ModelRead. NewContext and Estimate tell about the memory that is needed.
//
// It fails with ErrIO (the file cannot be opened or read), ErrFormat (it is damaged; get it again), ErrUnsupported (a
// model family, tensor type, option or instruction set that this build or machine lacks), ErrDevice (the device asked
// for cannot be used) and ErrCancelled (Progress said so).
func OpenModel(path string, options *ModelOptions) (*Model, error) {
	var memory cMemory
	defer memory.free()
	cPath := memory.text("the path", path)
	if memory.err != nil {
		return nil, memory.err
	}
	return openModel(options, nil, nil,
		func(o *C.bitnet_model_options, _ unsafe.Pointer, m **C.bitnet_model, why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_model_open(cPath, o, m, why)
		})
}

// OpenModelReaderAt opens a model from size bytes of reader: an archive, an encrypted file, bytes.NewReader. They are
// read once, on this goroutine, into memory of the library; reader is not used afterwards. It fails as OpenModel does;
// an error of reader comes back inside an ErrIO: io.ErrUnexpectedEOF if it has less than size bytes.
func OpenModelReaderAt(reader io.ReaderAt, size int64, options *ModelOptions) (*Model, error) {
	if size < 0 {
		return nil, &Error{Status: ErrArgument, Message: fmt.Sprintf("the size is %d, expected 0 or more", size)}
	}
	return openModel(options, reader, nil,
		func(o *C.bitnet_model_options, user unsafe.Pointer, m **C.bitnet_model, why *C.bitnet_error) C.bitnet_status {
			var source C.bitnet_source
			C.bitnet_source_init(&source)
			source.bytes = C.uint64_t(size)
			source.read_at = (*[0]byte)(C.bitnet_go_read_at)
			source.user = user
			return C.bitnet_model_open_source(&source, o, m, why)
		})
}

// OpenModelMemory opens a model from bytes that are in memory already, without a copy. They must stay valid and
// unchanged until the model and every context of it are closed, and must not be allocated by Go, whose memory C must
// not keep: bytes of a go:embed variable, of a mapped file or of C. For others there is OpenModelReaderAt with
// bytes.NewReader. It fails as OpenModel does.
func OpenModelMemory(data []byte, options *ModelOptions) (*Model, error) {
	from := notNil(data)
	return openModel(options, nil, data,
		func(o *C.bitnet_model_options, _ unsafe.Pointer, m **C.bitnet_model, why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_model_open_memory(unsafe.Pointer(&from[0]), C.uint64_t(len(data)), o, m, why)
		})
}

func openModel(options *ModelOptions, reader io.ReaderAt, data []byte, open func(o *C.bitnet_model_options,
	user unsafe.Pointer, m **C.bitnet_model, why *C.bitnet_error) C.bitnet_status) (*Model, error) {
	if err := checkLibrary(); err != nil {
		return nil, err
	}
	if options == nil {
		options = &ModelOptions{}
	}
	var memory cMemory
	defer memory.free()
	var o C.bitnet_model_options
	C.bitnet_model_options_init(&o)
	o.flags = C.uint32_t(options.Flags)
	o.device = memory.optional("the option Device", options.Device)
	o.isa = memory.optional("the option ISA", options.ISA)
	o.threads = C.int32_t(options.Threads)
	o.i2s_layout = C.int32_t(options.I2SLayout)
	o.activation = C.int32_t(options.Activation)
	o.weights = C.int32_t(options.Weights)
	o.head = C.int32_t(options.Head)
	if memory.err != nil {
		return nil, memory.err
	}
	state := (&modelState{memory: data}).claim()
	if options.Log != nil {
		state.logger = &logger{log: options.Log}
		state.logUser = newUser(state.logger)
		o.log = C.bitnet_log_fn(C.bitnet_go_log)
		o.log_user = state.logUser
	}
	callbacks := &opening{progress: options.Progress, reader: reader, logger: state.logger}
	user := newUser(callbacks)
	defer freeUser(user)
	if options.Progress != nil || options.Log != nil { // a panic of Log ends the opening there
		o.progress = C.bitnet_progress_fn(C.bitnet_go_progress)
		o.progress_user = user
	}

	var handle *C.bitnet_model
	_, err := call(func(why *C.bitnet_error) C.bitnet_status { return open(&o, user, &handle, why) })
	m := &Model{handle: handle, state: state}
	if err != nil {
		err.(*Error).cause = callbacks.cause
		defer state.release()
	} else {
		runtime.SetFinalizer(m, func(m *Model) { go m.Close() })
	}
	if callbacks.panicked() || state.logger != nil && state.logger.panicked() {
		m.Close()
		callbacks.rethrow()
		state.rethrow()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Close gives the model back, once the calls that are running on it have ended. Contexts opened from it stay whole. It
// always returns nil.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle != nil {
		C.bitnet_model_close(m.handle)
		m.handle = nil
		m.state.release()
		runtime.SetFinalizer(m, nil)
	}
	return nil
}

// enter keeps the model open until leave.
func (m *Model) enter() error {
	m.mu.RLock()
	if m.handle == nil {
		m.mu.RUnlock()
		return closedError("model")
	}
	return nil
}

func (m *Model) leave() { m.mu.RUnlock() }

// ModelInfo is what a model is.
type ModelInfo struct {
	Flags         ModelFlags // the model was opened with
	Family        string     // the architecture: "bitnet-b1.58", "llama", ...
	Name          string     // general.name, or ""
	Device        string     // "cpu"
	ISA           string     // the instruction set in use: "avx512", ...
	ChatTemplate  string     // "bitnet", "llama-3", "falcon3", "chatml"; "" for a model that cannot chat
	Fingerprint   uint64     // of the metadata and both ends of each tensor: tells models apart, proves nothing
	Parameters    uint64     // numbers in its weights
	FileBytes     uint64
	WeightBytes   uint64 // resident: what the library allocated for weights
	BytesPerToken uint64 // weight bytes read to decode and pick one token, without the cache
	VocabSize     int32  // tokens are 0..VocabSize-1, the last ones may be padding; a row of logits has this many numbers
	ContextLength int32  // positions the model was trained for
	Layers        int32
	Width         int32 // numbers in an embedding
	FFWidth       int32
	Heads         int32
	KVHeads       int32
	HeadDim       int32
	BOSToken      int32 // -1: none, as for the two below
	EOSToken      int32
	EOTToken      int32 // end of turn
	Activation    Activation
	LoadTime      time.Duration // how long opening took
	Weights       Weights       // never WeightsAuto
	Head          Head          // never HeadAuto
}

// Info tells what the model is.
func (m *Model) Info() (ModelInfo, error) {
	if err := m.enter(); err != nil {
		return ModelInfo{}, err
	}
	defer m.leave()
	var i C.bitnet_model_info
	C.bitnet_model_info_init(&i)
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_model_get_info(m.handle, &i, why)
	}); err != nil {
		return ModelInfo{}, err
	}
	return ModelInfo{
		Flags:         ModelFlags(i.flags),
		Family:        C.GoString(i.family),
		Name:          C.GoString(i.name),
		Device:        C.GoString(i.device),
		ISA:           C.GoString(i.isa),
		ChatTemplate:  C.GoString(i.chat_template),
		Fingerprint:   uint64(i.fingerprint),
		Parameters:    uint64(i.parameters),
		FileBytes:     uint64(i.file_bytes),
		WeightBytes:   uint64(i.weight_bytes),
		BytesPerToken: uint64(i.bytes_per_token),
		VocabSize:     int32(i.vocab_size),
		ContextLength: int32(i.context_length),
		Layers:        int32(i.layers),
		Width:         int32(i.width),
		FFWidth:       int32(i.ff_width),
		Heads:         int32(i.heads),
		KVHeads:       int32(i.kv_heads),
		HeadDim:       int32(i.head_dim),
		BOSToken:      int32(i.bos_token),
		EOSToken:      int32(i.eos_token),
		EOTToken:      int32(i.eot_token),
		Activation:    Activation(i.activation),
		LoadTime:      seconds(i.load_seconds),
		Weights:       Weights(i.weights),
		Head:          Head(i.head),
	}, nil
}

func seconds(s C.double) time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// MetadataKeys lists the keys of the file's metadata, in file order.
func (m *Model) MetadataKeys() ([]string, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	keys := make([]string, C.bitnet_model_metadata_count(m.handle))
	for i := range keys {
		keys[i] = C.GoString(C.bitnet_model_metadata_key(m.handle, C.uint64_t(i)))
	}
	return keys, nil
}

// MetadataText gives a value as text: strings as they are, numbers in decimal, booleans true or false, arrays as JSON,
// of which at most maxElements are written, then the string "...". ErrNotFound: there is no such key.
func (m *Model) MetadataText(key string, maxElements uint64) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.leave()
	var memory cMemory
	defer memory.free()
	cKey := memory.text("the metadata key", key)
	if memory.err != nil {
		return "", memory.err
	}
	text, err := fill(64, func(buffer *byte, capacity C.uint64_t, size *C.uint64_t, why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_model_metadata_text(m.handle, cKey, C.uint64_t(maxElements),
			(*C.char)(unsafe.Pointer(buffer)), capacity, size, why)
	})
	return string(text), err
}

// TensorInfo is one tensor of the file.
type TensorInfo struct {
	Name   string
	Type   string   // "I2_S", "F16", ...
	Shape  []uint64 // 1 to 4 numbers; the first is the length of a row
	Offset uint64   // in the file
	Bytes  uint64
}

// Tensors lists the tensors of the file.
func (m *Model) Tensors() ([]TensorInfo, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	tensors := make([]TensorInfo, C.bitnet_model_tensor_count(m.handle))
	for i := range tensors {
		var t C.bitnet_tensor_info
		C.bitnet_tensor_info_init(&t)
		if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_model_tensor(m.handle, C.uint64_t(i), &t, why)
		}); err != nil {
			return nil, err
		}
		shape := make([]uint64, t.dimensions)
		for d := range shape {
			shape[d] = uint64(t.shape[d])
		}
		tensors[i] = TensorInfo{C.GoString(t.name), C.GoString(t._type), shape, uint64(t.offset), uint64(t.bytes)}
	}
	return tensors, nil
}

// Estimate is the memory that a context takes, in bytes.
type Estimate struct {
	FileBytes   uint64 // mapped; the embedding table and the head are read from there
	WeightBytes uint64 // packed weights in the host's memory, like the two below; 0 with a device
	CacheBytes  uint64 // of a context with the options given; 0 with a device
	WorkBytes   uint64 // everything else of it
	TotalBytes  uint64 // weights, cache, work and the part of the file that stays in use
	DeviceBytes uint64 // of a device's memory: weights and context; 0: the CPU computes
}

// Estimate tells what a context with these options will take. It works on a model opened with ModelDescribe, too, so
// before anything is loaded.
func (m *Model) Estimate(options *ContextOptions) (Estimate, error) {
	if err := m.enter(); err != nil {
		return Estimate{}, err
	}
	defer m.leave()
	o := contextOptions(options)
	var e C.bitnet_estimate
	C.bitnet_estimate_init(&e)
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_model_estimate(m.handle, &o, &e, why)
	}); err != nil {
		return Estimate{}, err
	}
	return Estimate{uint64(e.file_bytes), uint64(e.weight_bytes), uint64(e.cache_bytes), uint64(e.work_bytes),
		uint64(e.total_bytes), uint64(e.device_bytes)}, nil
}
