// Finds text that turns into the wrong special tokens, or into special tokens at all where a user
// wrote it.
#include "tokens/special.h"

#include "support.h"

namespace bitnet::test {
namespace {

using Ids = std::vector<int32_t>;

struct Chat {
  Chat() {
    made.pre = "llama-bpe";
    made.add_bytes();
    bos = made.add("<|begin|>", kControlToken);
    eot = made.add("<|eot_id|>", kControlToken);
    turn = made.add("<|eot_id|>\n\n", kControlToken);
    unknown = made.add("<unk>", kUnknownToken);
    user = made.add("<tool>", kUserDefinedToken);
    made.ids = {{kBos, static_cast<uint64_t>(bos)}, {kEos, static_cast<uint64_t>(eot)}};
  }
  Ptr<const Tokenizer> open() const {
    auto result = made.open();
    EXPECT_TRUE(result.ok()) << result.status().text();
    return std::move(result.value());
  }
  VocabularyMaker made;
  int32_t bos, eot, turn, unknown, user;
};

TEST(Special, ControlTextsAreTokensOnlyWhenAsked) {
  const Chat v;
  const auto t = v.open();
  const std::string text = "a<|eot_id|>b<unk>";
  EXPECT_EQ(tokens_of(*t, text, false, true), (Ids{'a', v.eot, 'b', v.unknown}));
  EXPECT_EQ(tokens_of(*t, text, false, false), Ids(text.begin(), text.end()));
}

TEST(Special, UserDefinedTextsAlwaysAre) {
  const Chat v;
  const auto t = v.open();
  EXPECT_EQ(tokens_of(*t, "<tool><tool>x"), (Ids{v.user, v.user, 'x'}));
  EXPECT_EQ(t->piece(v.user, false).value(), "<tool>");
  EXPECT_FALSE(t->is_control(v.user));
}

TEST(Special, LongerTextsGoFirst) {
  const Chat v;
  const auto t = v.open();
  EXPECT_EQ(tokens_of(*t, "<|eot_id|>\n\n<|eot_id|>\n", false, true), (Ids{v.turn, v.eot, '\n'}));
}

TEST(Special, BosAndEosAreAddedOnce) {
  Chat v;
  v.made.add_eos = true;
  const auto t = v.open();
  EXPECT_TRUE(t->add_bos() && t->add_eos());
  EXPECT_EQ(tokens_of(*t, "a", true), (Ids{v.bos, 'a', v.eot}));
  EXPECT_EQ(tokens_of(*t, "", true), (Ids{v.bos, v.eot}));
  EXPECT_EQ(tokens_of(*t, "<|begin|>a<|eot_id|>", true, true), (Ids{v.bos, 'a', v.eot}));
  EXPECT_EQ(tokens_of(*t, "", false), Ids{});
  v.made.add_bos = false;
  EXPECT_EQ(tokens_of(*v.open(), "a", true), (Ids{'a', v.eot}));
}

TEST(Special, EndsAreIdsAndTexts) {
  VocabularyMaker v;
  v.pre = "gpt-2";
  v.add_bytes();
  const int32_t im_end = v.add("<|im_end|>", kControlToken);
  const int32_t eos = v.add("<stop>", kControlToken), eom = v.add("<more>", kControlToken);
  const int32_t call = v.add("<|call|>", kNormalToken);  // marked wrongly
  const int32_t plain = v.add("<|other|>", kControlToken);
  v.ids = {{kEos, static_cast<uint64_t>(eos)}, {kEom, static_cast<uint64_t>(eom)}};
  Messages messages;
  const auto opened = v.open(messages.log());
  ASSERT_TRUE(opened.ok());
  const Tokenizer& t = *opened.value();
  for (const int32_t token : {im_end, eos, eom, call}) EXPECT_TRUE(t.is_end(token)) << token;
  for (const int32_t token : {plain, 0, -1, t.size(), INT32_MAX, INT32_MIN}) {
    EXPECT_FALSE(t.is_end(token)) << token;
  }
  EXPECT_EQ(t.eot(), im_end);
  EXPECT_EQ(t.bos(), -1);
  EXPECT_TRUE(t.is_control(call));
  EXPECT_EQ(messages.texts.size(), 1u);
}

TEST(Special, CustomaryIdsAreNotOrdinaryWords) {
  VocabularyMaker v;
  v.pre = "gpt-2";
  v.add_bytes();  // token 11 is a byte
  EXPECT_EQ(v.open().value()->eos(), -1);
  VocabularyMaker s;
  s.model = "llama";
  s.add("<unk>", kUnknownToken);
  s.add("<s>", kControlToken);
  s.add("</s>", kControlToken);
  const auto t = s.open();
  EXPECT_EQ(t.value()->bos(), 1);
  EXPECT_EQ(t.value()->eos(), 2);
  EXPECT_TRUE(t.value()->add_bos());
}

TEST(Special, FindsTokensByTheirExactText) {
  const Chat v;
  const auto t = v.open();
  EXPECT_EQ(t->find("<|eot_id|>"), v.eot);
  EXPECT_EQ(t->find(spell(" ")), ' ');
  EXPECT_EQ(t->find("<|eot"), -1);
  EXPECT_EQ(t->find(""), -1);
}

// The definition: for each text, longest first, every raw fragment is searched and cut.
std::vector<std::pair<std::string, int32_t>> cut_naively(const std::vector<std::string>& specials,
                                                         const std::string& text) {
  std::vector<size_t> order(specials.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return specials[a].size() > specials[b].size(); });
  std::vector<std::pair<std::string, int32_t>> fragments;
  if (!text.empty()) fragments.emplace_back(text, -1);
  for (const size_t special : order) {
    std::vector<std::pair<std::string, int32_t>> next;
    for (const auto& [raw, token] : fragments) {
      size_t start = 0;
      if (token >= 0) {
        next.emplace_back(raw, token);
        continue;
      }
      for (size_t at; (at = raw.find(specials[special], start)) != std::string::npos;) {
        if (at > start) next.emplace_back(raw.substr(start, at - start), -1);
        next.emplace_back(specials[special], static_cast<int32_t>(special));
        start = at + specials[special].size();
      }
      if (start < raw.size()) next.emplace_back(raw.substr(start), -1);
    }
    fragments = next;
  }
  return fragments;
}

TEST(Special, PartitionsLikeTheDefinition) {
  std::mt19937 random(17);
  const auto word = [&](size_t longest) {
    std::string text;
    for (size_t n = 1 + random() % longest; n > 0; --n) text += "ab<>"[random() % 4];
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    // One special text of each length: their order is then defined.
    std::vector<std::string> specials;
    SpecialTexts table;
    for (int i = 0; i < 5; ++i) {
      const std::string text = word(5);
      const bool taken = std::any_of(specials.begin(), specials.end(),
                                     [&](const std::string& s) { return s.size() == text.size(); });
      if (!taken) specials.push_back(text);
    }
    for (size_t i = 0; i < specials.size(); ++i) {
      ASSERT_TRUE(table.add(static_cast<int32_t>(i), specials[i]).ok());
    }
    table.finish();
    const std::string text = word(30);
    Vec<Fragment> fragments;
    table.partition(text, fragments);
    std::vector<std::pair<std::string, int32_t>> found;
    for (const Fragment& f : fragments) {
      found.emplace_back(text.substr(f.start, f.end - f.start), f.token);
    }
    ASSERT_EQ(found, cut_naively(specials, text)) << text;
  }
}

}  // namespace
}  // namespace bitnet::test
