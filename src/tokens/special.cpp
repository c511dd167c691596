#include "tokens/special.h"

#include <algorithm>
#include <cinttypes>
#include <functional>
#include <utility>

#include "tokens/vocabulary.h"

namespace bitnet {
namespace {

size_t start_index(char first, char second) noexcept {
  return static_cast<size_t>(static_cast<uint8_t>(first)) << 8 | static_cast<uint8_t>(second);
}

}  // namespace

Status SpecialTexts::add(int32_t token, std::string_view text) {
  if (text.empty()) return Status();
  if (text.size() > kMaxTokenBytes) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.tokens: special token %" PRId32
                         " has %zu bytes, expected at most %zu",
                         token, text.size(), kMaxTokenBytes);
  }
  BITNET_LET(const uint32_t symbol, texts_.intern(text));
  if (symbol < tokens_.size()) return Status();
  tokens_.push_back(token);
  lengths_.push_back(static_cast<uint32_t>(text.size()));
  if (starts_.empty()) starts_.assign(size_t{1} << 16, false);
  if (text.size() > 1) {
    starts_[start_index(text[0], text[1])] = true;
  } else {
    const auto row = starts_.begin() + static_cast<ptrdiff_t>(start_index(text[0], '\0'));
    std::fill(row, row + 256, true);
  }
  return Status();
}

void SpecialTexts::finish() {
  std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
  lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
}

bool SpecialTexts::may_start(std::string_view text) const noexcept {
  return starts_[start_index(text[0], text.size() > 1 ? text[1] : '\0')];
}

void SpecialTexts::cut(std::string_view text, uint32_t length, std::span<const uint32_t> candidates,
                       const Vec<Fragment>& from, Vec<Fragment>& to) const {
  to.clear();
  auto candidate = candidates.begin();
  for (const Fragment& fragment : from) {
    if (fragment.token >= 0) {
      to.push_back(fragment);
      continue;
    }
    uint32_t raw = fragment.start;
    for (; candidate != candidates.end() && *candidate < fragment.end; ++candidate) {
      if (*candidate < raw || fragment.end - *candidate < length) continue;
      const uint32_t symbol = texts_.find(text.substr(*candidate, length));
      if (symbol == kNoSymbol) continue;
      if (*candidate > raw) to.push_back({raw, *candidate, -1});
      raw = *candidate + length;
      to.push_back({*candidate, raw, tokens_[symbol]});
    }
    if (raw < fragment.end) to.push_back({raw, fragment.end, -1});
  }
}

void SpecialTexts::partition(std::string_view text, Vec<Fragment>& fragments) const {
  fragments.clear();
  if (text.empty()) return;
  fragments.push_back({0, static_cast<uint32_t>(text.size()), -1});
  if (tokens_.empty()) return;
  Vec<uint32_t> candidates;
  for (size_t i = 0; i < text.size(); ++i) {
    if (may_start(text.substr(i))) candidates.push_back(static_cast<uint32_t>(i));
  }
  if (candidates.empty()) return;
  Vec<Fragment> next;
  for (const uint32_t length : lengths_) {
    cut(text, length, candidates, fragments, next);
    std::swap(fragments, next);
  }
}

}  // namespace bitnet
