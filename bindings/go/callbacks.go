package bitnet

/*
#include "callbacks.h"
*/
import "C"

import (
	"io"
	"sync"
	"sync/atomic"
	"unsafe"
)

// panicBox keeps the first panic of a callback while C is on the stack, to go on when Go is on top again.
type panicBox struct {
	mu    sync.Mutex
	full  bool
	value any
}

// run calls f; false when it panicked.
func (b *panicBox) run(f func()) (returned bool) {
	defer func() {
		if returned {
			return
		}
		value := recover()
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.full {
			b.full, b.value = true, value
		}
	}()
	f()
	return true
}

func (b *panicBox) panicked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

// rethrow lets the panic go on, if there was one.
func (b *panicBox) rethrow() {
	b.mu.Lock()
	full, value := b.full, b.value
	b.full, b.value = false, nil
	b.mu.Unlock()
	if full {
		panic(value)
	}
}

// logger is what bitnet_model_options.log_user leads to.
type logger struct {
	panicBox
	log func(level LogLevel, text string)
}

//export goLog
func goLog(user unsafe.Pointer, level C.bitnet_log_level, text *C.char) {
	l := userValue(user).(*logger)
	if l.panicked() {
		return
	}
	l.run(func() { l.log(LogLevel(level), C.GoString(text)) })
}

// opening is what the callbacks of one opening model lead to.
type opening struct {
	panicBox
	progress func(done float64) error // may be nil
	reader   io.ReaderAt
	logger   *logger // may be nil
	cause    error   // why progress or reader ended it
}

//export goProgress
func goProgress(user unsafe.Pointer, done C.double) C.int {
	o := userValue(user).(*opening)
	if o.logger != nil && o.logger.panicked() {
		return 1
	}
	if o.progress == nil {
		return 0
	}
	if !o.run(func() { o.cause = o.progress(float64(done)) }) || o.cause != nil {
		return 1
	}
	return 0
}

//export goReadAt
func goReadAt(user unsafe.Pointer, offset C.uint64_t, buffer unsafe.Pointer, bytes C.uint64_t) C.int {
	o := userValue(user).(*opening)
	whole := false
	o.run(func() {
		got, err := o.reader.ReadAt(unsafe.Slice((*byte)(buffer), int(bytes)), int64(offset))
		whole = got == int(bytes) // then err may be nil or io.EOF
		if !whole {
			o.cause = err
			if err == io.EOF { // which would pass for the end of a reply
				o.cause = io.ErrUnexpectedEOF
			}
		}
	})
	if !whole {
		return 1
	}
	return 0
}

// executor is what bitnet_ctx_options.execute_user leads to.
type executor struct {
	panicBox
	execute func(task func(index int), count int)
	ctx     *C.bitnet_ctx
}

//export goExecute
func goExecute(user unsafe.Pointer, task C.bitnet_go_task, argument unsafe.Pointer, count C.int32_t) {
	e := userValue(user).(*executor)
	claimed := make([]atomic.Bool, count)
	var running sync.WaitGroup
	running.Add(int(count))
	once := func(index int) {
		if index < 0 || index >= len(claimed) || claimed[index].Swap(true) {
			return
		}
		defer running.Done()
		C.bitnet_go_run_task(task, argument, C.int32_t(index))
	}
	if !e.panicked() && !e.run(func() { e.execute(once, int(count)) }) {
		C.bitnet_ctx_cancel(e.ctx)
	}
	// The library counts on every task having run when this returns, whatever execute did.
	for index := range claimed {
		once(index)
	}
	running.Wait()
}
