// Pieces of an untrusted file made fit for a message: bounded, printable ASCII, independent of the
// locale.
#pragma once

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <string_view>

#include "file/gguf.h"

namespace bitnet {

// A short text in place: `shown(name).text` lives until the end of the full expression.
struct Shown {
  char text[96];
};

// Bytes outside printable ASCII become '?', what is too long ends in "...".
inline Shown shown(std::string_view bytes) noexcept {
  constexpr size_t kLongest = sizeof(Shown::text) - 4;
  Shown s;
  size_t n = 0;
  for (; n < bytes.size() && n < kLongest; ++n) {
    s.text[n] = bytes[n] >= 0x20 && bytes[n] < 0x7f ? bytes[n] : '?';
  }
  if (n < bytes.size()) {
    for (int dot = 0; dot < 3; ++dot) s.text[n++] = '.';
  }
  s.text[n] = 0;
  return s;
}

// "[2560, 2048]"
inline Shown shown_shape(const uint64_t* shape, uint32_t dims) noexcept {
  Shown s;
  size_t n = 0;
  s.text[n++] = '[';
  for (uint32_t d = 0; d < dims && d < 4; ++d) {
    if (d > 0) s.text[n++] = ',', s.text[n++] = ' ';
    n = static_cast<size_t>(std::to_chars(s.text + n, s.text + sizeof s.text - 4, shape[d]).ptr -
                            s.text);
  }
  s.text[n++] = ']';
  s.text[n] = 0;
  return s;
}

// "I2_S", or "type 123" for what has no name here.
inline Shown shown_type(TensorType type) noexcept {
  if (const char* name = tensor_type_name(type)) return shown(name);
  Shown s;
  std::snprintf(s.text, sizeof s.text, "type %" PRIu32, static_cast<uint32_t>(type));
  return s;
}

// The shortest decimal that reads back as the same number; printf would follow the host's locale.
template <class Float>
Shown shown_number(Float number) noexcept {
  Shown s;
  *std::to_chars(s.text, s.text + sizeof s.text - 1, number).ptr = 0;
  return s;
}

}  // namespace bitnet
