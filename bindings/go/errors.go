package bitnet

/*
#include <bitnet.h>
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Error is why the library refused a call.
type Error struct {
	Status  Status // what kind of failure: errors.Is(err, ErrFormat) compares it
	Message string // a sentence that names the place and both sides
	cause   error  // of the caller's own: its context.Context's, its reader's, its progress function's; may be nil
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap gives the status.
func (e *Error) Unwrap() error { return e.Status }

// Is tells whether target is what made the caller's side stop the call: the error of its context.Context, of its
// io.ReaderAt, of its Progress function.
func (e *Error) Is(target error) bool { return e.cause != nil && errors.Is(e.cause, target) }

// As finds target in what made the caller's side stop the call.
func (e *Error) As(target any) bool { return e.cause != nil && errors.As(e.cause, target) }

// Error gives the status's name in the C library, "BITNET_E_FORMAT".
func (s Status) Error() string { return s.String() }

// String gives the status's name in the C library, "BITNET_E_FORMAT".
func (s Status) String() string { return C.GoString(C.bitnet_status_name(C.bitnet_status(s))) }

// ErrClosed is what every call on a closed handle gives: errors.Is(err, ErrClosed).
var ErrClosed = errors.New("the handle is closed")

// closedError names the kind of handle.
type closedError string

func (e closedError) Error() string        { return "the " + string(e) + " is closed" }
func (e closedError) Is(target error) bool { return target == ErrClosed }

// call makes one call of the library; f hands why to it.
func call(f func(why *C.bitnet_error) C.bitnet_status) (Status, error) {
	var why C.bitnet_error
	C.bitnet_error_init(&why)
	status := Status(f(&why))
	if status < 0 {
		return status, &Error{Status: status, Message: C.GoString(&why.message[0])}
	}
	return status, nil
}

// fill makes a query-then-fill call: with room for guess elements first, then with as much as it asked for.
func fill[T byte | int32](guess int, f func(buffer *T, capacity C.uint64_t, size *C.uint64_t,
	why *C.bitnet_error) C.bitnet_status) ([]T, error) {
	size := C.uint64_t(guess)
	for {
		buffer := make([]T, size)
		var first *T
		if size > 0 {
			first = &buffer[0]
		}
		status, err := call(func(why *C.bitnet_error) C.bitnet_status {
			return f(first, C.uint64_t(len(buffer)), &size, why)
		})
		if err == nil {
			return buffer[:size], nil
		}
		if status != ErrBuffer {
			return nil, err
		}
	}
}

// cancelled is the error of a call that its context.Context stopped.
func cancelled(ctx context.Context, message string) error {
	return &Error{Status: ErrCancelled, Message: message, cause: ctx.Err()}
}

func refuseNUL(what, text string) error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return &Error{Status: ErrArgument, Message: fmt.Sprintf(
			"%s %q: found a NUL byte at %d, expected text without one", what, text, at)}
	}
	return nil
}

// refuseNegative speaks for the library, to which a negative index would be a very large one.
func refuseNegative(index int) error {
	if index < 0 {
		return &Error{Status: ErrArgument, Message: fmt.Sprintf("entry %d: the entries of a batch begin at 0", index)}
	}
	return nil
}
