// Package bitnet runs BitNet b1.58 language models, whose weights are -1, 0 and +1, inside a Go program. It is a thin
// layer over the C library libbitnet, found through pkg-config.
//
// A [Model] is opened from a GGUF file, a [Context] on it holds the cache in which text is read, and a [Generator]
// writes a reply piece by piece:
//
//	model, err := bitnet.OpenModel("model.gguf", nil)
//	c, err := model.NewContext(nil)
//	reply, err := c.NewGenerator(&bitnet.GenerateOptions{
//		Messages: []bitnet.Message{{Role: "user", Content: "What is the capital of France?"}},
//	})
//	for {
//		piece, err := reply.Next(ctx)
//		if err == io.EOF {
//			break
//		}
//		...
//	}
//
// On Go 1.23 and later the loop is `for piece, err := range reply.All(ctx)`.
//
// # Options
//
// Every constructor takes a pointer to its options; nil, and a zero field, mean the default that the field documents.
//
// # Errors
//
// What the library refuses is an [*Error] with a status and a sentence that names the place and both sides. A status
// is itself an error to compare with: errors.Is(err, bitnet.ErrFormat). A handle that was closed gives [ErrClosed].
// Any call may fail with ErrArgument (an option or a number out of its range, a NUL byte in a name) and with
// ErrMemory; a failed call changes nothing else, unless it says so, and every handle stays usable.
//
// # Cancelling
//
// Calls that decode take a context.Context first. When it is done, the call ends soon (within one layer of one batch)
// with an error that is both ErrCancelled and the context's own; nothing was added, and calling again goes on. A call
// that finishes before it notices succeeds: its result is not thrown away.
//
// # Goroutines
//
// Every handle may be used from any number of goroutines. Calls of a [Model] run side by side. Calls of one [Context],
// its generators' included, run one after the other: those that take a context.Context give up waiting when that is
// done. Different handles are independent.
//
// Close may be called at any time and more than once. It cancels what decodes in the handle, waits until what runs has
// ended, and frees the handle; a Context closes its generators first, a Model lives on inside until its contexts are
// closed.
// A handle that is forgotten is closed by a finalizer some time after it becomes unreachable: a net, no plan, since the
// garbage collector does not see how much memory hangs on it.
//
// # Callbacks
//
// Functions in options are called on the goroutine of the call that makes use of them, Execute's tasks aside. They must
// not use the handle that called them, and must not end their goroutine (runtime.Goexit, testing's FailNow). A panic in
// one does not unwind the C library: it is caught, the call ends, and the panic goes on with the same value from the Go
// call that caused it.
package bitnet

/*
#cgo pkg-config: bitnet
#include <bitnet.h>
*/
import "C"

import (
	"fmt"
	"sync"
)

// LibraryVersion gives the version of the library found at run time, "0.3.0". It is [Version] or newer.
func LibraryVersion() string {
	return C.GoString(C.bitnet_version_string())
}

var library struct {
	once sync.Once
	err  error
}

// checkLibrary tells whether the library found at run time serves this package; every way to a handle asks it.
func checkLibrary() error {
	library.once.Do(func() {
		library.err = compareVersions(uint32(C.bitnet_abi_version()), uint32(C.bitnet_version()), LibraryVersion())
	})
	return library.err
}

func compareVersions(abi, version uint32, text string) error {
	const needed = VersionMajor<<16 | VersionMinor<<8 | VersionPatch
	if abi == ABIVersion && version >= needed {
		return nil
	}
	return &Error{Status: ErrUnsupported, Message: fmt.Sprintf(
		"libbitnet found at run time is version %s with ABI version %d, package bitnet needs version %s or newer with "+
			"ABI version %d: install that library, or let the loader find it (LD_LIBRARY_PATH, ldconfig)",
		text, abi, Version, ABIVersion)}
}
