// Vocabularies for the tests of src/tokens: real ones from the shared data, small ones by hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokens/tokenizer.h"
#include "tokens/utf8.h"
#include "tokens/vocabulary.h"

namespace bitnet::test {

inline std::string shared_path(const std::string& name) {
  const char* root = std::getenv("BITNET_SHARED");
  return std::string(root ? root : BITNET_SHARED_DEFAULT) + "/data/" + name;
}

inline std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline std::string utf8_of(uint32_t c) {
  const auto tail = [](uint32_t x) { return static_cast<char>(0x80 | (x & 63)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(c)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(c >> 6), tail(c)};
  return {static_cast<char>(0xF0 | c >> 18), tail(c >> 12), tail(c >> 6), tail(c)};
}

// bytes in the alphabet of byte-level vocabularies.
inline std::string spell(std::string_view bytes) {
  static const std::vector<std::string> letters = [] {
    std::vector<std::string> all;
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool visible =
          (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
      all.push_back(utf8_of(visible ? b : next++));
    }
    return all;
  }();
  std::string out;
  for (const char c : bytes) out += letters[static_cast<uint8_t>(c)];
  return out;
}

// Collects what the library logs.
struct Messages {
  std::vector<std::string> texts;
  Log log() {
    return {[](void* user, bitnet_log_level, const char* text) {
              static_cast<Messages*>(user)->texts.emplace_back(text);
            },
            this};
  }
};

// A vocabulary that owns its texts.
struct VocabularyMaker {
  std::string model = "gpt2", architecture = "llama", chat_template;
  std::string pre;  // empty: no such key
  std::vector<std::string> tokens, merges;
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  std::vector<std::pair<SpecialId, uint64_t>> ids;
  std::optional<bool> add_bos, add_eos, add_space_prefix;

  int32_t add(std::string text, int32_t kind = kNormalToken, float score = 0) {
    tokens.push_back(std::move(text));
    kinds.push_back(kind);
    scores.push_back(score);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  // The 256 bytes as byte-level tokens (gpt2) or byte tokens (llama).
  void add_bytes() {
    for (int b = 0; b < 256; ++b) {
      const char c = static_cast<char>(b);
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(b));
      if (model == "gpt2") {
        add(spell({&c, 1}));
      } else {
        add(text, kByteToken);
      }
    }
  }
  // left + right as a token and a merge, both given as bytes.
  void add_merge(const std::string& left, const std::string& right) {
    add(spell(left + right));
    merges.push_back(spell(left) + " " + spell(right));
  }

  Vocabulary view() const {
    Vocabulary v;
    v.model = model;
    v.architecture = architecture;
    v.chat_template = chat_template;
    if (!pre.empty()) v.pre = pre;
    v.tokens.assign(tokens.begin(), tokens.end());
    v.merges.assign(merges.begin(), merges.end());
    v.scores.assign(scores.begin(), scores.end());
    v.kinds.assign(kinds.begin(), kinds.end());
    for (const auto& [id, value] : ids) v.ids[id] = value;
    v.add_bos = add_bos;
    v.add_eos = add_eos;
    v.add_space_prefix = add_space_prefix;
    return v;
  }
  Result<Ptr<const Tokenizer>> open(const Log& log = {}, bool strict = false) const {
    return open_vocabulary(view(), log, strict);
  }
};

// The Llama 3 vocabulary from its tiktoken text: "base64(bytes) rank" a line. tiktoken merges the
// pair whose concatenation has the lowest rank; as a list these are all the ways to cut each token
// in two, in order of rank.
inline std::optional<VocabularyMaker> llama3_vocabulary() {
  const auto text = read_file(shared_path("llama3-tokenizer.model"));
  if (!text) return std::nullopt;
  const auto digit = [](char c) -> uint32_t {
    if (c >= 'A' && c <= 'Z') return static_cast<uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<uint32_t>(c - 'a') + 26;
    if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0') + 52;
    return c == '+' ? 62 : 63;
  };
  std::vector<std::string> bytes;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line(text->data() + at, end - at);
    std::string token;
    uint32_t bits = 0, held = 0;
    for (const char c : line.substr(0, line.find(' '))) {
      if (c == '=') break;
      held = held << 6 | digit(c);
      if ((bits += 6) >= 8) token.push_back(static_cast<char>(held >> (bits -= 8) & 255));
    }
    bytes.push_back(token);
    at = end + 1;
  }
  VocabularyMaker v;
  v.pre = "llama-bpe";
  std::unordered_map<std::string_view, size_t> rank;
  for (size_t i = 0; i < bytes.size(); ++i) {
    rank.emplace(bytes[i], i);
    v.add(spell(bytes[i]));
  }
  for (const std::string& token : bytes) {
    std::vector<std::pair<size_t, size_t>> ways;
    for (size_t at = 1; at < token.size(); ++at) {
      const auto left = rank.find(std::string_view(token).substr(0, at));
      const auto right = rank.find(std::string_view(token).substr(at));
      if (left != rank.end() && right != rank.end()) {
        ways.emplace_back(left->second, right->second);
      }
    }
    std::sort(ways.begin(), ways.end());
    for (const auto& [left, right] : ways) {
      v.merges.push_back(v.tokens[left] + " " + v.tokens[right]);
    }
  }
  const auto special = [&](const std::string& name) { v.add("<|" + name + "|>", kControlToken); };
  int reserved = 0;
  const auto reserve = [&] { special("reserved_special_token_" + std::to_string(reserved++)); };
  special("begin_of_text");
  special("end_of_text");
  for (int i = 0; i < 4; ++i) reserve();
  special("start_header_id");
  special("end_header_id");
  reserve();
  special("eot_id");
  while (v.tokens.size() < 128256) reserve();
  v.ids = {{kBos, 128000}, {kEos, 128001}};
  return v;
}

// A tokenizer and what its views point into.
struct Opened {
  std::string file;
  std::unique_ptr<VocabularyMaker> made;
  std::optional<Gguf> gguf;
  Ptr<const Tokenizer> tokenizer;
};

// name: "llama-bpe" or one of the GGUF vocabularies; null: the data is not there.
inline std::shared_ptr<Opened> open_shared(const std::string& name) {
  auto opened = std::make_shared<Opened>();
  if (name == "llama-bpe") {
    auto made = llama3_vocabulary();
    if (!made) return nullptr;
    opened->made = std::make_unique<VocabularyMaker>(std::move(*made));
    auto result = opened->made->open();
    EXPECT_TRUE(result.ok()) << result.status().text();
    if (!result.ok()) return nullptr;
    opened->tokenizer = std::move(result.value());
    return opened;
  }
  auto file = read_file(shared_path("ggml-vocab-" + name + ".gguf"));
  if (!file) return nullptr;
  opened->file = std::move(*file);
  auto parsed =
      Gguf::parse({reinterpret_cast<const uint8_t*>(opened->file.data()), opened->file.size()});
  EXPECT_TRUE(parsed.ok()) << parsed.status().text();
  if (!parsed.ok()) return nullptr;
  opened->gguf.emplace(std::move(parsed.value()));
  auto result = Tokenizer::open(*opened->gguf, Log{}, false);
  EXPECT_TRUE(result.ok()) << result.status().text();
  if (!result.ok()) return nullptr;
  opened->tokenizer = std::move(result.value());
  return opened;
}

inline std::vector<int32_t> tokens_of(const Tokenizer& t, std::string_view text,
                                      bool add_special = false, bool parse_special = false) {
  Vec<int32_t> out;
  const Status status = t.tokenize(text, add_special, parse_special, out);
  EXPECT_TRUE(status.ok()) << status.text();
  return {out.begin(), out.end()};
}

inline std::string text_of(const Tokenizer& t, const std::vector<int32_t>& tokens,
                           bool show_special = false) {
  String out;
  const Status status = t.detokenize(tokens, show_special, out);
  EXPECT_TRUE(status.ok()) << status.text();
  return {out.begin(), out.end()};
}

// Text of random code points from every plane and length, heavy on what splitters look at.
inline std::string random_text(std::mt19937& random, size_t characters) {
  static const std::vector<std::string> favourites = {" ",
                                                      " ",
                                                      " ",
                                                      "\n",
                                                      "\r",
                                                      "\t",
                                                      "'s",
                                                      "'S",
                                                      "'LL",
                                                      "'",
                                                      "a",
                                                      "Z",
                                                      "\xC3\xA9",
                                                      "0",
                                                      "7",
                                                      "123",
                                                      "\xC2\xA0",
                                                      "\xE3\x80\x80",
                                                      "\xD9\xA3",
                                                      "\xC2\xBD",
                                                      ".",
                                                      "!",
                                                      "$",
                                                      "`",
                                                      "\xE2\x80\x94",
                                                      "\xCC\x81",
                                                      "\xE4\xB8\xAD",
                                                      "\xF0\x9F\x98\x80",
                                                      "\xE2\x81\x9F",
                                                      "\xC5\xBF",
                                                      "_",
                                                      "<|",
                                                      "|>"};
  std::string out;
  for (size_t i = 0; i < characters; ++i) {
    if (random() % 4 != 0) {
      out += favourites[random() % favourites.size()];
      continue;
    }
    uint32_t c = static_cast<uint32_t>(random() % (random() % 2 ? 0x800 : 0x110000));
    if (c >= 0xD800 && c < 0xE000) c = 0xFFFD;
    out += utf8_of(c);
  }
  return out;
}

inline std::string random_bytes(std::mt19937& random, size_t bytes) {
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

}  // namespace bitnet::test
