package bitnet

/*
#include <bitnet.h>
#include <stdlib.h>
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// cMemory holds what a struct of the library points to during one call: C must not find Go pointers in structs.
type cMemory struct {
	blocks []unsafe.Pointer
	err    error // the first text that C cannot be given
}

func (m *cMemory) alloc(bytes uintptr) unsafe.Pointer {
	block := C.malloc(C.size_t(bytes))
	m.blocks = append(m.blocks, block)
	return block
}

// bytes copies text and terminates it; it may contain NUL bytes, so its length goes beside it.
func (m *cMemory) bytes(text string) *C.char {
	block := m.alloc(uintptr(len(text)) + 1)
	to := unsafe.Slice((*byte)(block), len(text)+1)
	copy(to, text)
	to[len(text)] = 0
	return (*C.char)(block)
}

// text copies a text that C knows the end of by its NUL byte alone.
func (m *cMemory) text(what, text string) *C.char {
	if err := refuseNUL(what, text); err != nil && m.err == nil {
		m.err = err
	}
	return m.bytes(text)
}

// optional is text, with NULL for the empty one.
func (m *cMemory) optional(what, text string) *C.char {
	if text == "" {
		return nil
	}
	return m.text(what, text)
}

func (m *cMemory) free() {
	for _, block := range m.blocks {
		C.free(block)
	}
}

// array makes room in C for count elements, at least one, so that there is a first.
func array[T any](m *cMemory, count int) (first *T, elements []T) {
	var element T
	first = (*T)(m.alloc(unsafe.Sizeof(element) * uintptr(count+1)))
	return first, unsafe.Slice(first, count)
}

// nothing is where an empty slice begins: with NULL the library would say that there is no array.
var nothing [16]byte

// first points to the beginning of a slice of Go's, which holds no pointers, for the length of a call.
func first[C, T any](slice []T) *C {
	if len(slice) == 0 {
		return (*C)(unsafe.Pointer(&nothing))
	}
	return (*C)(unsafe.Pointer(&slice[0]))
}

// notNil is data, or when that is empty some bytes to point to. A call of C takes them as unsafe.Pointer(&from[0]), in
// these words: only then does cgo look for Go pointers in the bytes alone and not in what they are a part of.
func notNil(data []byte) []byte {
	if len(data) == 0 {
		return nothing[:]
	}
	return data
}

// newUser makes the `user` pointer by which a callback finds value: C memory that holds a cgo.Handle, since a Go
// pointer must not stay in C. To be given back by freeUser.
func newUser(value any) unsafe.Pointer {
	user := C.malloc(C.size_t(unsafe.Sizeof(cgo.Handle(0))))
	*(*cgo.Handle)(user) = cgo.NewHandle(value)
	return user
}

func freeUser(user unsafe.Pointer) {
	if user != nil {
		(*(*cgo.Handle)(user)).Delete()
		C.free(user)
	}
}

func userValue(user unsafe.Pointer) any {
	return (*(*cgo.Handle)(user)).Value()
}
