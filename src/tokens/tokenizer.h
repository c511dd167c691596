// Text to token ids and back: byte-level BPE and SPM, from the vocabulary a model file carries.
//
// Immutable once opened; safe to share between threads. The Gguf's bytes must outlive the
// tokenizer. Source: design/formats.md section 5.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "file/gguf.h"

namespace bitnet {

class Tokenizer {
 public:
  static Result<Ptr<const Tokenizer>> open(const Gguf& file, const Log& log, bool strict);
  ~Tokenizer();

  int32_t size() const noexcept;
  // Special ids; -1 when the vocabulary has none.
  int32_t bos() const noexcept;
  int32_t eos() const noexcept;
  int32_t eot() const noexcept;
  bool add_bos() const noexcept;  // what tokenize(add_special) does
  bool add_eos() const noexcept;
  bool is_end(int32_t token) const noexcept;      // formats.md 5.5; false for ids out of range
  bool is_control(int32_t token) const noexcept;  // CONTROL or UNKNOWN
  int32_t find(
      std::string_view text) const noexcept;  // id of the token with this exact raw text; -1: none
  std::string_view chat_template() const noexcept;  // Jinja text of the file; empty: none

  // Appends ids to out. add_special: BOS and EOS as the file asks for them, unless the text (with
  // parse_special) has them there already. parse_special: texts of CONTROL tokens in `text` become
  // those tokens; for untrusted text leave it off, then no text becomes one. Bytes that are not
  // UTF-8 are taken one by one: the byte-level tokenizer encodes each as itself where its byte
  // token exists (so text survives a round trip).
  Status tokenize(std::string_view text, bool add_special, bool parse_special,
                  Vec<int32_t>& out) const;

  // The bytes a token stands for (may be part of a UTF-8 sequence). CONTROL and UNKNOWN tokens:
  // empty unless show_special, then their text. Out of range: an error. Valid as long as the
  // tokenizer.
  Result<std::string_view> piece(int32_t token, bool show_special) const;

  // Appends the text of a whole sequence (start of a text: SPM's one leading space is stripped).
  Status detokenize(std::span<const int32_t> tokens, bool show_special, String& out) const;

  struct Impl;
  explicit Tokenizer(Ptr<Impl> impl) noexcept;

 private:
  friend class StreamDecoder;
  // piece(), less SPM's leading space at the start of a text; the first text there is ends the
  // start.
  Result<std::string_view> piece_at(int32_t token, bool show_special, bool& at_start) const;

  Ptr<Impl> impl_;
};

// Turns tokens into text as they come, holding back the bytes of an unfinished UTF-8 sequence: what
// it emits is always whole, valid UTF-8 (broken bytes become U+FFFD, as the Unicode standard's
// "maximal subpart" rule says). One per stream, not shared.
class StreamDecoder {
 public:
  // at_start: the stream begins a text (SPM's one leading space is then stripped).
  StreamDecoder(const Tokenizer& tokenizer, bool show_special, bool at_start) noexcept
      : tokenizer_(tokenizer), show_special_(show_special), at_start_(at_start) {}
  Status push(int32_t token, String& out);  // appends to out
  void finish(String& out);                 // flushes what is held, as U+FFFD

 private:
  const Tokenizer& tokenizer_;
  bool show_special_, at_start_;
  char held_[4] = {};
  int held_bytes_ = 0;
};

}  // namespace bitnet
