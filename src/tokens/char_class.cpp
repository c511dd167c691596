#include "tokens/char_class.h"

#include <utf8proc.h>

namespace bitnet {
namespace {

bool is_white_space(uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

uint8_t classes_of(uint32_t c) noexcept {
  if (is_white_space(c)) {
    return static_cast<uint8_t>(c == '\r' || c == '\n' ? kSpace | kLineBreak : kSpace);
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    default:
      return kOther;
  }
}

}  // namespace

CharClasses::CharClasses() : table_(kTabled) {
  for (uint32_t c = 0; c < kTabled; ++c) table_[c] = classes_of(c);
}

uint8_t CharClasses::untabled(uint32_t code_point) noexcept {
  return classes_of(code_point);
}

}  // namespace bitnet
