#include "tokens/bpe.h"

#include <utility>

#include "tokens/utf8.h"

namespace bitnet {
namespace {

// Vocabularies are written in an alphabet of 256 visible characters, one a byte: bytes that are
// visible in Latin-1 are themselves, the others U+0100, U+0101, ... in ascending order.
class ByteAlphabet {
 public:
  ByteAlphabet() noexcept {
    uint32_t next = 0x100;
    for (int16_t& byte : bytes_) byte = -1;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      bytes_[visible ? byte : next++] = static_cast<int16_t>(byte);
    }
  }

  // Overwrites bytes with what text stands for. Characters outside the alphabet stand for
  // themselves; false if there was one: such a text is never part of a word.
  bool decode(std::string_view text, String& bytes) const {
    bytes.clear();
    bool inside = true;
    while (!text.empty()) {
      const Utf8Char c = first_char(text);
      const size_t length = c.kind == Utf8Char::kWhole ? c.length : 1;
      if (c.kind == Utf8Char::kWhole && c.code_point < kEnd && bytes_[c.code_point] >= 0) {
        bytes.push_back(static_cast<char>(bytes_[c.code_point]));
      } else {
        bytes.append(text.substr(0, length));
        inside = false;
      }
      text.remove_prefix(length);
    }
    return inside;
  }

 private:
  static constexpr uint32_t kEnd = 0x144;
  int16_t bytes_[kEnd];  // by code point; -1: not of the alphabet
};

}  // namespace

Result<Bpe> Bpe::build(const Vocabulary& vocabulary, Rules rules, TextArena& arena,
                       Vec<std::string_view>& pieces) {
  Bpe bpe(vocabulary.tokens.size(), vocabulary.merges.size(), rules);
  BITNET_TRY(bpe.enter_tokens(vocabulary, arena, pieces));
  BITNET_TRY(bpe.enter_bytes(arena));
  BITNET_TRY(bpe.enter_merges(vocabulary, arena));
  return bpe;
}

// Control, unknown and user-defined tokens are written as they are, and only the special-token
// search finds them: text can never merge into a control token.
Status Bpe::enter_tokens(const Vocabulary& vocabulary, TextArena& arena,
                         Vec<std::string_view>& pieces) {
  const ByteAlphabet alphabet;
  String bytes;
  pieces.resize(tokens_);
  for (size_t i = 0; i < tokens_; ++i) {
    const int32_t kind = vocabulary.kinds[i];
    if (kind == kControlToken || kind == kUnknownToken || kind == kUserDefinedToken) {
      pieces[i] = vocabulary.tokens[i];
      continue;
    }
    const bool inside = alphabet.decode(vocabulary.tokens[i], bytes);
    pieces[i] = arena.copy(bytes);
    if (inside && !bytes.empty()) {
      BITNET_TRY(symbols_.enter(static_cast<uint32_t>(i), pieces[i]));
    }
  }
  return Status();
}

Status Bpe::enter_bytes(TextArena& arena) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    BITNET_LET(byte_symbols_[byte], symbol_of({&text, 1}, arena));
  }
  return Status();
}

Status Bpe::enter_merges(const Vocabulary& vocabulary, TextArena& arena) {
  const ByteAlphabet alphabet;
  String left, right;
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const std::string_view merge = vocabulary.merges[rank];
    const size_t space = merge.find(' ', 1);
    const bool left_inside = alphabet.decode(merge.substr(0, space), left);
    const bool right_inside = alphabet.decode(merge.substr(space + 1), right);
    if (!left_inside || !right_inside) continue;
    BITNET_LET(const uint32_t left_symbol, symbol_of(left, arena));
    BITNET_LET(const uint32_t right_symbol, symbol_of(right, arena));
    left += right;
    BITNET_LET(const uint32_t merged, symbol_of(left, arena));
    BITNET_TRY(merges_.enter(left_symbol, right_symbol, {static_cast<uint32_t>(rank), merged}));
  }
  return Status();
}

Result<uint32_t> Bpe::symbol_of(std::string_view text, TextArena& arena) {
  const uint32_t symbol = symbols_.find(text);
  if (symbol != kNoSymbol) return symbol;
  return symbols_.intern(arena.copy(text));
}

void Bpe::encode(std::string_view text, Workspace& work, Vec<int32_t>& out) const {
  split(rules_.splitter, classes_, text, work.words);
  uint32_t start = 0;
  for (const uint32_t end : work.words.ends) {
    encode_word(text.substr(start, end - start), work, out);
    start = end;
  }
}

void Bpe::encode_word(std::string_view word, Workspace& work, Vec<int32_t>& out) const {
  const uint32_t hash = hash_text(word);
  if (rules_.ignore_merges) {
    const uint32_t symbol = symbols_.find(word, hash);
    if (symbol < tokens_) return out.push_back(static_cast<int32_t>(symbol));
  }
  if (work.cache.repeat(word, hash, out)) return;
  const size_t first = out.size();
  work.parts.resize(word.size());
  for (size_t i = 0; i < word.size(); ++i) {
    work.parts[i] = {byte_symbols_[static_cast<uint8_t>(word[i])], static_cast<uint32_t>(i)};
  }
  const size_t parts = work.merger.run(merges_, work.parts);
  for (size_t i = 0; i < parts; ++i) emit(work.parts[i].symbol, out);
  work.cache.remember(word, hash, out, first);
}

// A symbol that is no token becomes the tokens of its bytes; a byte without token is dropped.
void Bpe::emit(uint32_t symbol, Vec<int32_t>& out) const {
  if (symbol < tokens_) return out.push_back(static_cast<int32_t>(symbol));
  for (const char byte : symbols_.text(symbol)) {
    const uint32_t token = byte_symbols_[static_cast<uint8_t>(byte)];
    if (token < tokens_) out.push_back(static_cast<int32_t>(token));
  }
}

}  // namespace bitnet
