// UTF-8, one sequence at a time. Source: The Unicode Standard, table 3-7 and section 3.9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitnet {

struct Utf8Char {
  enum Kind : uint8_t {
    kWhole,    // length bytes are one character
    kBroken,   // length bytes (1..3) are a maximal subpart: they stand for one U+FFFD
    kUnended,  // all the bytes there are begin a character that more bytes could complete
  };
  uint32_t code_point;  // U+FFFD unless whole
  uint8_t length;       // 1..4
  Kind kind;
};

// The first character of text, which must not be empty.
Utf8Char first_char(std::string_view text) noexcept;

// Bytes of the first character; a byte that is not part of valid UTF-8 counts as one of its own.
inline size_t char_length(std::string_view text) noexcept {
  if (static_cast<uint8_t>(text[0]) < 0x80) return 1;
  const Utf8Char c = first_char(text);
  return c.kind == Utf8Char::kWhole ? c.length : 1;
}

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
inline constexpr std::string_view kSpmSpace = "\xE2\x96\x81";     // U+2581, SPM's written space

}  // namespace bitnet
