// Finds vocabularies that crash the reader or are believed although they cannot be right.
#include <limits>

#include "support.h"
#include "support/gguf_writer.h"

namespace bitnet::test {
namespace {

// A small valid file of each kind, to be bent.
GgufWriter bpe_file() {
  GgufWriter w;
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) {
    const char c = static_cast<char>(b);
    tokens.push_back(spell({&c, 1}));
  }
  tokens.push_back("ab");
  tokens.push_back("<|eot_id|>");
  std::vector<int32_t> kinds(tokens.size(), kNormalToken);
  kinds.back() = kControlToken;
  w.text("general.architecture", "llama");
  w.text("tokenizer.ggml.model", "gpt2");
  w.text("tokenizer.ggml.pre", "llama-bpe");
  w.texts("tokenizer.ggml.tokens", tokens);
  w.integers("tokenizer.ggml.token_type", kinds);
  w.reals("tokenizer.ggml.scores", std::vector<float>(tokens.size()));
  w.texts("tokenizer.ggml.merges", {"a b"});
  w.u32("tokenizer.ggml.bos_token_id", 257);
  w.u32("tokenizer.ggml.eos_token_id", 257);
  w.boolean("tokenizer.ggml.add_bos_token", true);
  w.text("tokenizer.chat_template", "{{ messages }}");
  return w;
}

GgufWriter spm_file() {
  GgufWriter w;
  w.text("general.architecture", "llama");
  w.text("tokenizer.ggml.model", "llama");
  w.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "b", "ab"});
  w.integers("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 1});
  w.reals("tokenizer.ggml.scores", {0, 0, 0, -1, -2, -3, -4});
  return w;
}

struct OpenedFile {
  ByteVector bytes;
  std::optional<Gguf> gguf;
  Status status;
  Ptr<const Tokenizer> tokenizer;
};

OpenedFile open_file(const GgufWriter& w, bool strict = false) {
  OpenedFile file{w.bytes(), {}, {}, {}};
  auto parsed = Gguf::parse({file.bytes.data(), file.bytes.size()});
  if (!parsed.ok()) {
    file.status = parsed.status();
    return file;
  }
  file.gguf.emplace(std::move(parsed.value()));
  auto opened = Tokenizer::open(*file.gguf, Log{}, strict);
  if (opened.ok()) {
    file.tokenizer = std::move(opened.value());
  } else {
    file.status = opened.status();
  }
  return file;
}

// The file is refused with a sentence that has all these words.
void expect_refused(const GgufWriter& w, const std::vector<std::string>& words,
                    bitnet_status code = BITNET_E_FORMAT, bool strict = false) {
  const OpenedFile file = open_file(w, strict);
  EXPECT_EQ(file.status.code(), code) << file.status.text();
  for (const std::string& word : words) {
    EXPECT_NE(std::string(file.status.text()).find(word), std::string::npos)
        << "\"" << word << "\" is not in: " << file.status.text();
  }
}

TEST(Hostile, TheUnbentFilesAreFine) {
  const OpenedFile bpe = open_file(bpe_file(), true);
  ASSERT_TRUE(bpe.tokenizer) << bpe.status.text();
  EXPECT_EQ(tokens_of(*bpe.tokenizer, "abc", true), (std::vector<int32_t>{257, 256, 'c'}));
  EXPECT_EQ(bpe.tokenizer->chat_template(), "{{ messages }}");
  EXPECT_EQ(bpe.tokenizer->size(), 258);
  const OpenedFile spm = open_file(spm_file(), true);
  ASSERT_TRUE(spm.tokenizer) << spm.status.text();
  EXPECT_EQ(tokens_of(*spm.tokenizer, "ab a", true), (std::vector<int32_t>{1, 3, 6, 3, 4}));
}

TEST(Hostile, MissingKeysAreNamed) {
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens"}) {
    for (GgufWriter w : {bpe_file(), spm_file()}) {
      w.erase(key);
      expect_refused(w, {key});
    }
  }
  GgufWriter w = bpe_file();
  w.erase("tokenizer.ggml.merges");
  expect_refused(w, {"tokenizer.ggml.merges", "absent"});
}

TEST(Hostile, OptionalKeysMayBeMissing) {
  for (const char* key : {"tokenizer.ggml.scores", "tokenizer.ggml.token_type",
                          "general.architecture", "tokenizer.chat_template"}) {
    for (GgufWriter w : {bpe_file(), spm_file()}) {
      w.erase(key);
      const OpenedFile file = open_file(w);
      ASSERT_TRUE(file.tokenizer) << key << ": " << file.status.text();
      EXPECT_EQ(text_of(*file.tokenizer, tokens_of(*file.tokenizer, "ab")), "ab");
    }
  }
}

TEST(Hostile, WrongTypesAreNamed) {
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
        "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges",
        "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template"}) {
    GgufWriter w = bpe_file();
    w.erase(key);
    w.u32(key, 7);
    expect_refused(w, {key, "u32"});
    w.erase(key);
    w.array<double>(key, 12, {1.0});
    expect_refused(w, {key});
  }
}

TEST(Hostile, LengthsMustAgree) {
  GgufWriter w = bpe_file();
  w.reals("tokenizer.ggml.scores", {1, 2});
  expect_refused(w, {"tokenizer.ggml.scores", "2", "258"});
  w = bpe_file();
  w.integers("tokenizer.ggml.token_type", std::vector<int32_t>(259, 1));
  expect_refused(w, {"tokenizer.ggml.token_type", "259", "258"});
  w = bpe_file();
  w.integers("tokenizer.ggml.token_type", {});
  expect_refused(w, {"tokenizer.ggml.token_type"});
  w = bpe_file();
  w.texts("tokenizer.ggml.tokens", {});
  expect_refused(w, {"tokenizer.ggml.tokens"});
}

TEST(Hostile, IdsMustBeTokens) {
  for (const char* name :
       {"bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "cls", "mask"}) {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    GgufWriter w = bpe_file();
    w.u32(key, 258);
    expect_refused(w, {key, "258"});
    w.erase(key);
    w.i32(key, -1);
    expect_refused(w, {key, "-1"});
    w.erase(key);
    w.u32(key, UINT32_MAX);  // none
    EXPECT_TRUE(open_file(w).tokenizer);
  }
  GgufWriter w = bpe_file();
  w.u32("tokenizer.ggml.bos_token_id", UINT32_MAX);
  const OpenedFile file = open_file(w);
  EXPECT_EQ(file.tokenizer->bos(), -1);
  EXPECT_EQ(tokens_of(*file.tokenizer, "a", true), std::vector<int32_t>{'a'});
}

TEST(Hostile, ElementsAreChecked) {
  GgufWriter w = spm_file();
  w.integers("tokenizer.ggml.token_type", {2, 3, 3, 7, 1, 1, 1});
  expect_refused(w, {"tokenizer.ggml.token_type", "3", "7"});
  w.integers("tokenizer.ggml.token_type", {2, 3, 3, -1, 1, 1, 1});
  expect_refused(w, {"tokenizer.ggml.token_type", "-1"});
  w.integers("tokenizer.ggml.token_type", {2, 3, 3, 6, 1, 1, 1});
  expect_refused(w, {"tokenizer.ggml.tokens", "<0x00>"});
  w = spm_file();
  w.reals("tokenizer.ggml.scores", {0, 0, 0, std::numeric_limits<float>::quiet_NaN(), -2, -3, -4});
  expect_refused(w, {"tokenizer.ggml.scores", "3"});
  for (const char* merge : {"", "a", " a", "ab ", "  "}) {
    w = bpe_file();
    w.texts("tokenizer.ggml.merges", {"a b", merge});
    expect_refused(w, {"tokenizer.ggml.merges", "element 1"});
  }
}

TEST(Hostile, InfiniteScoresAreOrderedLikeOthers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  GgufWriter w = spm_file();
  w.reals("tokenizer.ggml.scores", {0, 0, 0, kInfinity, -kInfinity, 3e38f, -kInfinity});
  const OpenedFile file = open_file(w);
  ASSERT_TRUE(file.tokenizer) << file.status.text();
  EXPECT_EQ(tokens_of(*file.tokenizer, "ab"), (std::vector<int32_t>{3, 6}));
}

TEST(Hostile, UnknownModelsAreRefused) {
  for (const char* model : {"bert", "t5", "rwkv", "none", "", "llama\n\x1B[31m"}) {
    GgufWriter w = bpe_file();
    w.text("tokenizer.ggml.model", model);
    expect_refused(w, {"tokenizer.ggml.model"}, BITNET_E_UNSUPPORTED);
  }
}

TEST(Hostile, UnknownPreIsAWarningOrWhenStrictAnError) {
  for (const char* pre : {"", "default", "some-model"}) {
    GgufWriter w = bpe_file();
    w.text("tokenizer.ggml.pre", pre);
    EXPECT_TRUE(open_file(w).tokenizer);
    expect_refused(w, {"tokenizer.ggml.pre", pre}, BITNET_E_UNSUPPORTED, true);
  }
  GgufWriter w = bpe_file();
  w.erase("tokenizer.ggml.pre");
  EXPECT_TRUE(open_file(w).tokenizer);
  expect_refused(w, {"tokenizer.ggml.pre"}, BITNET_E_UNSUPPORTED, true);
  VocabularyMaker v;
  v.add_bytes();
  Messages messages;
  ASSERT_TRUE(v.open(messages.log()).ok());
  ASSERT_EQ(messages.texts.size(), 1u);
  EXPECT_NE(messages.texts[0].find("tokenizer.ggml.pre"), std::string::npos);
}

TEST(Hostile, DuplicateAndEmptyTokensAreDefined) {
  VocabularyMaker v;
  v.pre = "gpt-2";
  v.add_bytes();
  v.add("");
  const int32_t first = v.add("ab"), second = v.add("ab");
  v.add("", kControlToken);
  v.add("", kUserDefinedToken);
  v.add("<x>", kControlToken);
  v.add("<x>", kControlToken);
  v.merges = {"a b", "a b", "b b"};
  const auto opened = v.open();
  ASSERT_TRUE(opened.ok()) << opened.status().text();
  const Tokenizer& t = *opened.value();
  EXPECT_EQ(tokens_of(t, "ab"), std::vector{first});
  EXPECT_EQ(tokens_of(t, "<x>", false, true), std::vector{second + 3});
  EXPECT_EQ(text_of(t, {first, second, second + 3, 256}), "abab");
  EXPECT_EQ(t.find("ab"), first);
  EXPECT_EQ(t.find(""), 256);
  EXPECT_EQ(tokens_of(t, "abb"), (std::vector<int32_t>{first, 'b'}));
  v.model = "llama";
  ASSERT_TRUE(v.open().ok());
  EXPECT_EQ(text_of(*v.open().value(), tokens_of(*v.open().value(), "ab")), "ab");
}

TEST(Hostile, MergesOfUnknownTextsAreHarmless) {
  VocabularyMaker v;
  v.pre = "gpt-2";
  v.add_bytes();
  // Texts outside the byte alphabet, texts that are no tokens, invalid UTF-8.
  v.merges = {"\xE6\x97\xA5 \xE6\x9C\xAC", "a zz", "zz a", "\xFF \xFE", "a\xC4 b", "z z"};
  const auto opened = v.open();
  ASSERT_TRUE(opened.ok()) << opened.status().text();
  EXPECT_EQ(tokens_of(*opened.value(), "azza"), (std::vector<int32_t>{'a', 'z', 'z', 'a'}));
}

TEST(Hostile, MergesNeverMakeAControlToken) {
  for (const char* model : {"gpt2", "llama"}) {
    VocabularyMaker v;
    v.model = model;
    v.pre = "llama-bpe";
    v.add_space_prefix = false;
    v.add_bytes();
    for (const char* text : {"<", "s", ">", "<s"}) v.add(text);
    const int32_t control = v.add("<s>", kControlToken, 100);
    const int32_t word = v.add("stop", kControlToken, 100);
    v.merges = {"< s", "<s >", "s t", "o p", "st op"};
    const auto opened = v.open();
    ASSERT_TRUE(opened.ok()) << opened.status().text();
    for (const char* text : {"<s>", "stop", "x<s>", " stop"}) {
      for (const int32_t token : tokens_of(*opened.value(), text)) {
        EXPECT_NE(token, control);
        EXPECT_NE(token, word);
      }
    }
  }
}

TEST(Hostile, TextSpelledLikeAByteTokenStaysText) {
  VocabularyMaker v;
  v.model = "llama";
  v.add_bytes();
  for (const char* text : {"\xE2\x96\x81", "<", "<0", "<0x", "<0x4", "<0x41"}) v.add(text);
  const auto opened = v.open();
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(text_of(*opened.value(), tokens_of(*opened.value(), "<0x41>")), "<0x41>");
}

TEST(Hostile, OverlongTokensAreRefusedWhereTheyCost) {
  VocabularyMaker v;
  v.model = "llama";
  v.add(std::string(kMaxTokenBytes, 'a'));
  EXPECT_TRUE(v.open().ok());
  v.add(std::string(kMaxTokenBytes + 1, 'a'));
  EXPECT_EQ(v.open().status().code(), BITNET_E_FORMAT);
  v.model = "gpt2";
  v.pre = "gpt-2";
  EXPECT_TRUE(v.open().ok());
  v.kinds.back() = kControlToken;
  EXPECT_EQ(v.open().status().code(), BITNET_E_FORMAT);
}

// Every way to damage one byte or to cut the file: refused or opened, never worse.
TEST(Hostile, DamagedFilesAreMemorySafe) {
  std::mt19937 random(23);
  for (const GgufWriter& w : {bpe_file(), spm_file()}) {
    const ByteVector whole = w.bytes();
    for (int i = 0; i < 3000; ++i) {
      ByteVector bytes = whole;
      for (size_t n = 1 + random() % 3; n > 0; --n) {
        bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
      }
      const auto parsed = Gguf::parse({bytes.data(), bytes.size()});
      if (!parsed.ok()) continue;
      const auto opened = Tokenizer::open(parsed.value(), Log{}, i % 2 == 0);
      if (!opened.ok()) continue;
      const Tokenizer& t = *opened.value();
      const auto tokens = tokens_of(t, "ab <s> \xE2\x82\xAC \xFF", true, true);
      for (const int32_t token : tokens) ASSERT_TRUE(token >= 0 && token < t.size());
      text_of(t, tokens, true);
    }
  }
}

}  // namespace
}  // namespace bitnet::test
