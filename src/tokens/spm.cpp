#include "tokens/spm.h"

#include <algorithm>
#include <bit>
#include <cinttypes>

#include "file/show.h"
#include "tokens/utf8.h"

namespace bitnet {
namespace {

// Higher scores are lower ranks; below UINT32_MAX, as no score is a NaN.
uint32_t rank_of(float score) noexcept {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 is 0
  const uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

// The byte of "<0xHH>", -1 for any other text.
int byte_of(std::string_view text) noexcept {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  int byte = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

// Some files have no types; there the text tells.
bool is_byte_token(const Vocabulary& vocabulary, size_t token) noexcept {
  const int32_t kind = vocabulary.kinds[token];
  return kind == kByteToken || (kind == kUndefinedToken && byte_of(vocabulary.tokens[token]) >= 0);
}

std::string_view with_spaces(std::string_view text, String& room, TextArena& arena) {
  room.clear();
  while (!text.empty()) {
    const size_t space = std::min(text.find(kSpmSpace), text.size());
    room.append(text.substr(0, space));
    text.remove_prefix(space);
    if (text.empty()) break;
    room.push_back(' ');
    text.remove_prefix(kSpmSpace.size());
  }
  return arena.copy(room);
}

}  // namespace

Result<Spm> Spm::build(const Vocabulary& vocabulary, int32_t unknown, TextArena& arena,
                       Vec<std::string_view>& pieces) {
  Spm spm(vocabulary.tokens.size(), unknown);
  BITNET_TRY(spm.enter_tokens(vocabulary, arena, pieces));
  BITNET_TRY(spm.enter_characters(vocabulary));
  BITNET_TRY(spm.enter_merges(vocabulary));
  return spm;
}

// Control, unknown and byte tokens are never the result of a merge: text can spell "</s>" or
// "<0x0A>" without becoming it.
bool Spm::merges(const Vocabulary& vocabulary, size_t token) const noexcept {
  const int32_t kind = vocabulary.kinds[token];
  return kind != kControlToken && kind != kUnknownToken && !is_byte_token(vocabulary, token) &&
         !vocabulary.tokens[token].empty();
}

Status Spm::enter_tokens(const Vocabulary& vocabulary, TextArena& arena,
                         Vec<std::string_view>& pieces) {
  std::fill(std::begin(byte_tokens_), std::end(byte_tokens_), -1);
  pieces.resize(tokens_);
  String room;
  for (size_t i = 0; i < tokens_; ++i) {
    const std::string_view text = vocabulary.tokens[i];
    const int32_t kind = vocabulary.kinds[i];
    if (is_byte_token(vocabulary, i)) {
      BITNET_TRY(enter_byte_token(static_cast<int32_t>(i), text, arena, pieces[i]));
      continue;
    }
    const bool as_written =
        kind == kControlToken || kind == kUnknownToken || kind == kUserDefinedToken;
    pieces[i] = as_written ? text : with_spaces(text, room, arena);
    if (!merges(vocabulary, i)) continue;
    if (text.size() > kMaxTokenBytes) {
      return Status::error(BITNET_E_FORMAT,
                           "tokenizer.ggml.tokens: element %zu has %zu bytes, expected at most %zu",
                           i, text.size(), kMaxTokenBytes);
    }
    BITNET_TRY(symbols_.enter(static_cast<uint32_t>(i), text));
  }
  return Status();
}

Status Spm::enter_byte_token(int32_t token, std::string_view text, TextArena& arena,
                             std::string_view& piece) {
  const int byte = byte_of(text);
  if (byte < 0) {
    return Status::error(BITNET_E_FORMAT,
                         "tokenizer.ggml.tokens: element %" PRId32
                         " has type 6 (byte) and text \"%s\", expected <0x00> to <0xFF>",
                         token, shown(text).text);
  }
  const char character = static_cast<char>(byte);
  piece = arena.copy({&character, 1});
  if (byte_tokens_[byte] < 0) byte_tokens_[byte] = token;
  return Status();
}

// Every character of a token is a symbol, whether it is a token or not: merges start with it.
Status Spm::enter_characters(const Vocabulary& vocabulary) {
  BITNET_LET(space_, symbols_.intern(kSpmSpace));
  for (size_t i = 0; i < tokens_; ++i) {
    if (!merges(vocabulary, i)) continue;
    uint32_t previous = kNoSymbol;
    for (std::string_view rest = vocabulary.tokens[i]; !rest.empty();) {
      const size_t length = char_length(rest);
      BITNET_LET(const uint32_t symbol, symbols_.intern(rest.substr(0, length)));
      rest.remove_prefix(length);
      if (symbol == space_ && previous != kNoSymbol) {
        if (joins_space_.size() <= previous) joins_space_.resize(previous + 1);
        joins_space_[previous] = true;
      }
      previous = symbol;
    }
  }
  joins_space_.resize(symbols_.size());
  for (int c = 0; c < 128; ++c) {
    const char character = static_cast<char>(c);
    ascii_[c] = c == ' ' ? space_ : symbols_.find({&character, 1});
  }
  return Status();
}

// The pairs that can become a token are the ways to cut it into two symbols.
Status Spm::enter_merges(const Vocabulary& vocabulary) {
  merges_ = MergeTable(tokens_);
  for (size_t i = 0; i < tokens_; ++i) {
    if (!merges(vocabulary, i)) continue;
    const std::string_view text = vocabulary.tokens[i];
    const auto token = static_cast<uint32_t>(i);
    if (symbols_.find(text) != token) continue;  // a second token of the same text
    for (size_t at = char_length(text); at < text.size(); at += char_length(text.substr(at))) {
      const uint32_t left = symbols_.find(text.substr(0, at));
      if (left == kNoSymbol) continue;
      const uint32_t right = symbols_.find(text.substr(at));
      if (right == kNoSymbol) continue;
      BITNET_TRY(merges_.enter(left, right, {rank_of(vocabulary.scores[i]), token}));
    }
  }
  return Status();
}

uint32_t Spm::symbol_at(std::string_view text) const noexcept {
  const auto byte = static_cast<uint8_t>(text[0]);
  return byte < 128 ? ascii_[byte] : symbols_.find(text.substr(0, char_length(text)));
}

void Spm::encode(std::string_view text, bool prefix_space, Workspace& work,
                 Vec<int32_t>& out) const {
  while (!text.empty()) {
    const size_t end = segment_end(text);
    encode_segment(text.substr(0, end), prefix_space, work, out);
    text.remove_prefix(end);
    prefix_space = false;
  }
}

// Texts merge as a whole, but never across a place that no token spans. Cutting there changes
// nothing and leaves words, most of which are short and come again.
size_t Spm::segment_end(std::string_view text) const noexcept {
  for (size_t at = 1; at < text.size(); ++at) {
    at = text.find(' ', at);
    if (at == std::string_view::npos) break;
    if (may_cut_before(text, at)) return at;
  }
  return text.size();
}

bool Spm::may_cut_before(std::string_view text, size_t space) const noexcept {
  size_t length = std::min<size_t>(4, space);
  while (length > 1 && char_length(text.substr(space - length, length)) != length) --length;
  const uint32_t previous = symbol_at(text.substr(space - length, length));
  return previous == kNoSymbol || !joins_space_[previous];
}

void Spm::encode_segment(std::string_view segment, bool prefix_space, Workspace& work,
                         Vec<int32_t>& out) const {
  const uint32_t hash = prefix_space ? 0 : hash_text(segment);
  if (!prefix_space && work.cache.repeat(segment, hash, out)) return;
  const size_t first = out.size();
  work.parts.clear();
  if (prefix_space) work.parts.push_back({space_, 0});
  for (size_t at = 0; at < segment.size(); at += char_length(segment.substr(at))) {
    work.parts.push_back({symbol_at(segment.substr(at)), static_cast<uint32_t>(at)});
  }
  const size_t parts = work.merger.run(merges_, work.parts);
  for (size_t i = 0; i < parts; ++i) {
    const std::string_view rest = segment.substr(work.parts[i].start);
    emit(work.parts[i].symbol, rest.substr(0, char_length(rest)), out);
  }
  if (!prefix_space) work.cache.remember(segment, hash, out, first);
}

// A character that is no token becomes the tokens of its bytes, or the unknown token.
void Spm::emit(uint32_t symbol, std::string_view character, Vec<int32_t>& out) const {
  if (symbol < tokens_) return out.push_back(static_cast<int32_t>(symbol));
  const std::string_view text = symbol == kNoSymbol ? character : symbols_.text(symbol);
  const auto token_of = [&](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  if (std::any_of(text.begin(), text.end(), [&](char byte) { return token_of(byte) < 0; })) {
    if (unknown_ >= 0) out.push_back(unknown_);
    return;
  }
  for (const char byte : text) out.push_back(token_of(byte));
}

}  // namespace bitnet
