#include "tokens/utf8.h"

namespace bitnet {
namespace {

// What a lead byte promises: the sequence's length and the range of its second byte.
struct Lead {
  uint8_t length, second_first, second_last;
};

Lead lead_of(uint8_t byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // shorter forms exist below
  if (byte == 0xED) return {3, 0x80, 0x9F};  // surrogates above
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // U+10FFFF is the last
  return {0, 0, 0};
}

}  // namespace

Utf8Char first_char(std::string_view text) noexcept {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const Lead lead = lead_of(byte(0));
  if (lead.length == 1) return {byte(0), 1, Utf8Char::kWhole};
  if (lead.length == 0) return {0xFFFD, 1, Utf8Char::kBroken};
  uint32_t code_point = byte(0) & (0x7Fu >> lead.length);
  for (uint8_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {0xFFFD, i, Utf8Char::kUnended};
    const uint8_t low = i == 1 ? lead.second_first : 0x80, high = i == 1 ? lead.second_last : 0xBF;
    if (byte(i) < low || byte(i) > high) return {0xFFFD, i, Utf8Char::kBroken};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
  }
  return {code_point, lead.length, Utf8Char::kWhole};
}

}  // namespace bitnet
