// Pre-tokenizers: cut a text into the words within which byte-level BPE merges.
//
// The regular expressions that define them, quoted in split.cpp, are matched by hand: in time
// linear in the text, without a regex engine. Source: design/formats.md 5.2.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"
#include "tokens/char_class.h"

namespace bitnet {

enum class Splitter : uint8_t { kLlama3, kQwen2, kGpt2, kFalcon, kDefault };

// Words of a text, in order: word i is [ends[i-1], ends[i]). Concatenated they are the text.
struct Words {
  Vec<uint32_t> ends;
  Vec<uint32_t> spare;  // of split()
};

// text is shorter than 4 GiB. Overwrites words.
void split(Splitter splitter, const CharClasses& classes, std::string_view text, Words& words);

}  // namespace bitnet
