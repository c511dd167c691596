package bitnet

/*
#include <bitnet.h>

// The bytes of a Go string, without a copy; never NULL.
static const char *bytes_of(_GoString_ text) { return _GoStringLen(text) ? _GoStringPtr(text) : ""; }

static bitnet_status tokenize(const bitnet_model *model, _GoString_ text, uint32_t flags, int32_t *tokens,
                              uint64_t capacity, uint64_t *count, bitnet_error *why) {
  return bitnet_tokenize(model, bytes_of(text), _GoStringLen(text), flags, tokens, capacity, count, why);
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Message is one message of a conversation.
type Message struct {
	Role    string // "system", "user" or "assistant"
	Content string // control tokens in it are taken as plain text
}

// Tokenize turns text into tokens. Bytes that are not UTF-8 are encoded one by one where the vocabulary has them.
// ErrArgument: text has 4 GiB or more.
func (m *Model) Tokenize(text string, flags TextFlags) ([]int32, error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	return fill(len(text)/2+8, func(buffer *int32, capacity C.uint64_t, size *C.uint64_t,
		why *C.bitnet_error) C.bitnet_status {
		return C.tokenize(m.handle, text, C.uint32_t(flags), (*C.int32_t)(buffer), capacity, size, why)
	})
}

// Detokenize is the inverse of Tokenize. The text may end inside a UTF-8 sequence when the tokens do; a Generator emits
// whole sequences only. Of the flags, DetokenizeSpecial is meant for it.
func (m *Model) Detokenize(tokens []int32, flags TextFlags) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.leave()
	text, err := fill(8*len(tokens), func(buffer *byte, capacity C.uint64_t, size *C.uint64_t,
		why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_detokenize(m.handle, first[C.int32_t](tokens), C.uint64_t(len(tokens)), C.uint32_t(flags),
			(*C.char)(unsafe.Pointer(buffer)), capacity, size, why)
	})
	return string(text), err
}

// TokenPiece gives the bytes one token stands for; they may be part of a UTF-8 sequence and may contain zeros. Of the
// flags, DetokenizeSpecial is meant for it: without it control tokens are empty.
func (m *Model) TokenPiece(token int32, flags TextFlags) (string, error) {
	if err := m.enter(); err != nil {
		return "", err
	}
	defer m.leave()
	var piece *C.char
	var bytes C.uint64_t
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_token_piece(m.handle, C.int32_t(token), C.uint32_t(flags), &piece, &bytes, why)
	}); err != nil {
		return "", err
	}
	return goString(piece, bytes), nil
}

// goString copies text[0..bytes), of any length: C.GoStringN takes an int.
func goString(text *C.char, bytes C.uint64_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(text)), bytes))
}

// TokenIsEnd tells whether a token ends a reply: end of text, end of turn. Numbers that are no tokens do not.
func (m *Model) TokenIsEnd(token int32) (bool, error) {
	if err := m.enter(); err != nil {
		return false, err
	}
	defer m.leave()
	return C.bitnet_token_is_end(m.handle, C.int32_t(token)) != 0, nil
}

// ChatTokenize renders messages by a chat template, up to where the assistant's reply begins, as tokens. template is
// "bitnet", "llama-3", "falcon3" or "chatml"; "" is the model's own. It fails with ErrArgument (another name, another
// role, no messages) and ErrUnsupported (the model has no template that is known: name one or build the prompt
// yourself; or its vocabulary lacks the template's tokens).
func (m *Model) ChatTokenize(messages []Message, template string) ([]int32, error) {
	var tokens []int32
	err := m.chat(messages, template, func(list *C.bitnet_message, name *C.char) (err error) {
		tokens, err = fill(256, func(buffer *int32, capacity C.uint64_t, size *C.uint64_t,
			why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_chat_tokenize(m.handle, list, C.uint64_t(len(messages)), name, (*C.int32_t)(buffer), capacity,
				size, why)
		})
		return err
	})
	return tokens, err
}

// ChatRender gives the same as text, to look at: for decoding use ChatTokenize, which a content with the text of
// control tokens cannot deceive. It fails as ChatTokenize does.
func (m *Model) ChatRender(messages []Message, template string) (string, error) {
	var text []byte
	err := m.chat(messages, template, func(list *C.bitnet_message, name *C.char) (err error) {
		text, err = fill(1024, func(buffer *byte, capacity C.uint64_t, size *C.uint64_t,
			why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_chat_render(m.handle, list, C.uint64_t(len(messages)), name,
				(*C.char)(unsafe.Pointer(buffer)), capacity, size, why)
		})
		return err
	})
	return string(text), err
}

func (m *Model) chat(messages []Message, template string, f func(list *C.bitnet_message, name *C.char) error) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	var memory cMemory
	defer memory.free()
	list, name := memory.messages(messages), memory.optional("the chat template", template)
	if memory.err != nil {
		return memory.err
	}
	return f(list, name)
}

func (m *cMemory) messages(messages []Message) *C.bitnet_message {
	first, list := array[C.bitnet_message](m, len(messages))
	for i, message := range messages {
		list[i] = C.bitnet_message{
			role:          m.text(fmt.Sprintf("the role of message %d", i), message.Role),
			content:       m.bytes(message.Content),
			content_bytes: C.uint64_t(len(message.Content)),
		}
	}
	return first
}
