package facts

import (
	"fmt"
	"reflect"
	"strings"
)

type lines []string

func (l *lines) printf(format string, values ...any) { *l = append(*l, fmt.Sprintf(format, values...)) }

func (l *lines) version(version string) { l.printf("version %s", version) }

func (l *lines) structure(name string, size, align uintptr) {
	l.printf("struct %s %d %d", name, size, align)
}

func (l *lines) field(structure, name string, offset, size uintptr) {
	l.printf("field %s %s %d %d", structure, name, offset, size)
}

// constant states the package's number, and beside it cgo's where that is another.
func (l *lines) constant(name string, cgo, ours int64) {
	l.printf("constant %s %d", name, ours)
	if cgo != ours {
		l.printf("constant %s %d", name, cgo)
	}
}

func (l *lines) signature(word, name string, function any) {
	f := reflect.TypeOf(function)
	classes := []string{"void"}
	if f.NumOut() > 0 {
		classes[0] = class(f.Out(0))
	}
	for i := 0; i < f.NumIn(); i++ {
		classes = append(classes, class(f.In(i)))
	}
	l.printf("%s %s %s", word, name, strings.Join(classes, " "))
}

// class tells how a value travels; enumerations, which cgo makes unsigned when no member is negative, as the 32-bit
// integers they are.
func class(t reflect.Type) string {
	switch kind := t.Kind(); {
	case kind == reflect.Int32, kind == reflect.Uint32 && strings.Contains(t.Name(), "bitnet_"):
		return "i32"
	case kind == reflect.Uint32:
		return "u32"
	case kind == reflect.Uint64:
		return "u64"
	case kind == reflect.Float32:
		return "f32"
	case kind == reflect.Float64:
		return "f64"
	case kind == reflect.Pointer, kind == reflect.UnsafePointer:
		return "ptr"
	}
	return t.String()
}
