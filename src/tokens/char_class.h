// The Unicode classes that pre-tokenizers ask for, from utf8proc's tables, never from the locale.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"
#include "tokens/utf8.h"

namespace bitnet {

// At most one of letter, number and space is set; none of them is "other". Marks, unassigned code
// points and bytes that are not UTF-8 are other, as a regex engine has it.
enum CharClass : uint8_t {
  kOther = 0,
  kLetter = 1,       // \p{L}
  kNumber = 2,       // \p{N}
  kSpace = 4,        // \s: White_Space of the Unicode standard
  kLineBreak = 8,    // CR, LF (also kSpace)
  kPunctuation = 16  // \p{P}
};

struct ClassifiedChar {
  uint8_t classes;  // of CharClass
  uint8_t length;   // in bytes
};

// A table built once per tokenizer, then read only: safe to share between threads.
class CharClasses {
 public:
  CharClasses();

  uint8_t of(uint32_t code_point) const noexcept {
    return code_point < kTabled ? table_[code_point] : untabled(code_point);
  }
  // The first character of text, which must not be empty.
  ClassifiedChar first(std::string_view text) const noexcept {
    const auto byte = static_cast<uint8_t>(text[0]);
    if (byte < 0x80) return {table_[byte], 1};
    const Utf8Char c = first_char(text);
    if (c.kind != Utf8Char::kWhole) return {kOther, 1};
    return {of(c.code_point), c.length};
  }

 private:
  // Planes 0 to 3; Unicode 15 has no letter, number, space or punctuation beyond them.
  static constexpr uint32_t kTabled = 0x40000;
  static uint8_t untabled(uint32_t code_point) noexcept;

  Vec<uint8_t> table_;  // [kTabled] sets of CharClass
};

}  // namespace bitnet
