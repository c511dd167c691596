package main

// What C does better here: model.S puts the small model into the program (go:embed cannot reach files outside of the
// module), and isatty tells a terminal from other devices.

/*
#cgo CPPFLAGS: -I${SRCDIR}/../../../../samples/models
#include <unistd.h>

extern const char nano_begin[], nano_end[];
*/
import "C"

import (
	"os"
	"unsafe"
)

// builtInModel is not memory of Go's, as bitnet.OpenModelMemory wants it.
func builtInModel() []byte {
	begin, end := unsafe.Pointer(&C.nano_begin), unsafe.Pointer(&C.nano_end)
	return unsafe.Slice((*byte)(begin), uintptr(end)-uintptr(begin))
}

func isTerminal(file *os.File) bool { return C.isatty(C.int(file.Fd())) == 1 }
