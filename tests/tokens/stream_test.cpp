// Finds text that a host could not show: broken UTF-8 in what is streamed, or text that depends on
// how the bytes were spread over tokens.
#include "support.h"

namespace bitnet::test {
namespace {

// Byte tokens 0..255, then tokens of several bytes, then control tokens.
struct Bytes {
  Bytes() {
    made.add_bytes();
    two = made.add(spell("\xE2\x82"));
    euro_tail = made.add(spell("\xAC!"));
    control = made.add("<|x|>", kControlToken);
    user = made.add("\xE2\x82\xAC", kUserDefinedToken);
    made.pre = "gpt-2";
    auto result = made.open();
    EXPECT_TRUE(result.ok()) << result.status().text();
    tokenizer = std::move(result.value());
  }
  std::vector<int32_t> bytes(std::string_view text) const {
    std::vector<int32_t> out;
    for (const char c : text) out.push_back(static_cast<uint8_t>(c));
    return out;
  }
  VocabularyMaker made;
  Ptr<const Tokenizer> tokenizer;
  int32_t two, euro_tail, control, user;
};

// The text after every push, the last one after finish().
std::vector<std::string> stream(const Tokenizer& t, const std::vector<int32_t>& tokens,
                                bool show_special = false, bool at_start = true) {
  StreamDecoder decoder(t, show_special, at_start);
  std::vector<std::string> steps;
  String out;
  for (const int32_t token : tokens) {
    const Status status = decoder.push(token, out);
    EXPECT_TRUE(status.ok()) << status.text();
    steps.emplace_back(out.begin(), out.end());
  }
  decoder.finish(out);
  steps.emplace_back(out.begin(), out.end());
  return steps;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = first_char(text);
    if (c.kind != Utf8Char::kWhole) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

// Each maximal subpart becomes one U+FFFD.
std::string repaired(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Char c = first_char(text);
    out += c.kind == Utf8Char::kWhole ? text.substr(0, c.length) : kReplacement;
    text.remove_prefix(c.length);
  }
  return out;
}

const std::string kFffd(kReplacement);

TEST(Utf8, KnowsEveryCodePoint) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    const std::string text = utf8_of(c);
    const Utf8Char read = first_char(text);
    ASSERT_EQ(read.kind, Utf8Char::kWhole) << c;
    ASSERT_EQ(read.code_point, c);
    ASSERT_EQ(read.length, text.size());
    for (size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(first_char(std::string_view(text).substr(0, n)).kind, Utf8Char::kUnended) << c;
    }
  }
}

// The examples of the Unicode standard, section 3.9, tables 3-8 to 3-11.
TEST(Utf8, RepairsAsTheStandardRecommends) {
  const auto fffd = [](int n) {
    std::string out;
    while (n-- > 0) out += kFffd;
    return out;
  };
  EXPECT_EQ(repaired("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), fffd(8) + "A");
  EXPECT_EQ(repaired("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), fffd(8) + "A");
  EXPECT_EQ(repaired("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), fffd(5) + "A" + fffd(2) + "B");
  EXPECT_EQ(repaired("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), fffd(4) + "A");
}

TEST(StreamDecoder, HoldsBackEveryUnfinishedSequence) {
  const Bytes v;
  for (const std::string character : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    const auto steps = stream(*v.tokenizer, v.bytes("a" + character + "b"));
    for (size_t i = 1; i < character.size(); ++i) EXPECT_EQ(steps[i], "a");
    EXPECT_EQ(steps[character.size()], "a" + character);
    EXPECT_EQ(steps.back(), "a" + character + "b");
    for (size_t n = 1; n < character.size(); ++n) {  // cut short: one replacement
      EXPECT_EQ(stream(*v.tokenizer, v.bytes(character.substr(0, n))).back(), kFffd);
      EXPECT_EQ(stream(*v.tokenizer, v.bytes(character.substr(0, n) + "z")).back(), kFffd + "z");
    }
  }
}

TEST(StreamDecoder, JoinsPiecesOfSeveralBytes) {
  const Bytes v;
  EXPECT_EQ(stream(*v.tokenizer, {'a', v.two, v.euro_tail}),
            (std::vector<std::string>{"a", "a", "a\xE2\x82\xAC!", "a\xE2\x82\xAC!"}));
  EXPECT_EQ(stream(*v.tokenizer, {v.two, v.two, v.user}).back(), kFffd + kFffd + "\xE2\x82\xAC");
}

TEST(StreamDecoder, ControlTokensShowOnlyWhenAsked) {
  const Bytes v;
  EXPECT_EQ(stream(*v.tokenizer, {'a', v.control, 'b'}).back(), "ab");
  EXPECT_EQ(stream(*v.tokenizer, {'a', v.control, 'b'}, true).back(), "a<|x|>b");
  // A hidden one does not come between the bytes of a character.
  EXPECT_EQ(stream(*v.tokenizer, {0xC3, v.control, 0xA9}).back(), "\xC3\xA9");
}

TEST(StreamDecoder, RandomBytesAreValidAtEveryStepAndEndAsTheWholeTextRepaired) {
  const Bytes v;
  std::mt19937 random(5);
  const std::string leads = "\xC3\xE0\xE2\xED\xF0\xF4\x80\x9F\xA0\xBF\x90\x41";
  for (int i = 0; i < 3000; ++i) {
    std::vector<int32_t> tokens;
    for (size_t n = random() % 20; n > 0; --n) {
      const int32_t likely = static_cast<uint8_t>(leads[random() % leads.size()]);
      tokens.push_back(random() % 3 ? likely : static_cast<int32_t>(random() % 260));
    }
    const auto steps = stream(*v.tokenizer, tokens);
    for (const std::string& step : steps) ASSERT_TRUE(is_utf8(step));
    ASSERT_EQ(steps.back(), repaired(text_of(*v.tokenizer, tokens)));
  }
}

TEST(StreamDecoder, TokenOutOfRangeIsAnErrorAndTheStreamGoesOn) {
  const Bytes v;
  StreamDecoder decoder(*v.tokenizer, false, true);
  String out;
  ASSERT_TRUE(decoder.push(0xC3, out).ok());
  EXPECT_EQ(decoder.push(-1, out).code(), BITNET_E_ARGUMENT);
  EXPECT_EQ(decoder.push(v.tokenizer->size(), out).code(), BITNET_E_ARGUMENT);
  ASSERT_TRUE(decoder.push(0xA9, out).ok());
  EXPECT_EQ(out, "\xC3\xA9");
}

struct Spaces {
  Spaces() {
    made.model = "llama";
    made.add("<unk>", kUnknownToken);
    bos = made.add("<s>", kControlToken);
    made.add("</s>", kControlToken);
    made.add_bytes();
    word = made.add("\xE2\x96\x81word");
    two_spaces = made.add("\xE2\x96\x81\xE2\x96\x81");
    auto result = made.open();
    EXPECT_TRUE(result.ok()) << result.status().text();
    tokenizer = std::move(result.value());
  }
  VocabularyMaker made;
  Ptr<const Tokenizer> tokenizer;
  int32_t bos, word, two_spaces;
};

TEST(StreamDecoder, StripsOneSpaceAtTheStartOfATextOnly) {
  const Spaces v;
  const Tokenizer& t = *v.tokenizer;
  EXPECT_EQ(stream(t, {v.word, v.word}).back(), "word word");
  EXPECT_EQ(stream(t, {v.two_spaces, v.word}).back(), "  word");
  EXPECT_EQ(stream(t, {v.bos, v.word}).back(), "word");
  EXPECT_EQ(stream(t, {v.word}, false, false).back(), " word");
  EXPECT_EQ(stream(t, {v.bos, v.word}, true).back(), "<s> word");
  for (const auto& tokens :
       {std::vector<int32_t>{v.word, v.word}, {v.two_spaces, v.word}, {v.bos, v.word}}) {
    EXPECT_EQ(text_of(t, tokens), stream(t, tokens).back());
  }
  // The piece by itself keeps it.
  EXPECT_EQ(t.piece(v.word, false).value(), " word");
}

}  // namespace
}  // namespace bitnet::test
