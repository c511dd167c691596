#include "tokens/tokenizer.h"
#include "tokens/utf8.h"

namespace bitnet {
namespace {

// Appends text as valid UTF-8 up to an unfinished sequence at its end; returns that.
std::string_view append_whole(std::string_view text, String& out) {
  while (!text.empty()) {
    const Utf8Char c = first_char(text);
    if (c.kind == Utf8Char::kUnended) break;
    out.append(c.kind == Utf8Char::kWhole ? text.substr(0, c.length) : kReplacement);
    text.remove_prefix(c.length);
  }
  return text;
}

}  // namespace

Status StreamDecoder::push(int32_t token, String& out) {
  BITNET_LET(std::string_view text, tokenizer_.piece_at(token, show_special_, at_start_));
  // What is held (at most 3 bytes) grows until it is a character or cannot become one any more.
  while (held_bytes_ > 0 && !text.empty()) {
    held_[held_bytes_ & 3] = text[0];
    const auto bytes = static_cast<size_t>(held_bytes_) + 1;
    const Utf8Char c = first_char({held_, bytes});
    if (c.kind == Utf8Char::kBroken) {  // and the byte starts something new
      out.append(kReplacement);
      held_bytes_ = 0;
      continue;
    }
    text.remove_prefix(1);
    ++held_bytes_;
    if (c.kind == Utf8Char::kWhole) {
      out.append(held_, bytes);
      held_bytes_ = 0;
    }
  }
  if (text.empty()) return Status();
  for (const char byte : append_whole(text, out)) held_[held_bytes_++ & 3] = byte;
  return Status();
}

void StreamDecoder::finish(String& out) {
  if (held_bytes_ > 0) out.append(kReplacement);
  held_bytes_ = 0;
}

}  // namespace bitnet
