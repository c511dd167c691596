// Finds guesses that are not what followed the longest recent match, memory that grows faster than
// the text, and widths chosen that do not pay.
#include "session/drafts.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace bitnet {
namespace {

// Feeds a text token by token.
class Fed {
 public:
  explicit Fed(const std::vector<int32_t>& tokens) {
    for (int32_t token : tokens) push(token);
  }
  void push(int32_t token) {
    drafts.reserve(text.size() + 1);
    text.push_back(token);
    drafts.follow(text);
  }
  std::vector<int32_t> guesses(size_t count) const {
    std::vector<int32_t> all;
    for (size_t i = 0; i < count; ++i) all.push_back(drafts.guess(text, i));
    return all;
  }
  std::vector<int32_t> text;
  Drafts drafts;
};

using Tokens = std::vector<int32_t>;

TEST(Drafts, GuessNothingWithoutAnEarlierPair) {
  EXPECT_EQ(Fed({}).drafts.matched(), 0);
  EXPECT_EQ(Fed({7}).drafts.matched(), 0);
  EXPECT_EQ(Fed({7, 8}).drafts.matched(), 0);
  EXPECT_EQ(Fed({1, 2, 3, 4, 5, 3}).drafts.matched(), 0) << "one token is not enough";
}

TEST(Drafts, GuessWhatFollowedTheSamePair) {
  const Fed fed({1, 2, 3, 4, 5, 9, 1, 2});
  EXPECT_EQ(fed.drafts.matched(), 2);
  EXPECT_EQ(fed.guesses(4), Tokens({3, 4, 5, 9}));
}

TEST(Drafts, PreferTheLongerMatchThenTheMoreRecent) {
  EXPECT_EQ(Fed({5, 1, 2, 30, 6, 1, 2, 40, 5, 1, 2}).guesses(1), Tokens({30}));
  EXPECT_EQ(Fed({5, 1, 2, 30, 6, 1, 2, 40, 7, 1, 2}).guesses(1), Tokens({40}));
}

TEST(Drafts, GoOnInCirclesWhenTheTextDoes) {
  EXPECT_EQ(Fed({4, 4, 4}).guesses(5), Tokens({4, 4, 4, 4, 4}));
  EXPECT_EQ(Fed({8, 1, 2, 3, 1, 2}).guesses(7), Tokens({3, 1, 2, 3, 1, 2, 3}));
}

TEST(Drafts, FollowAMatchThatHoldsAndDropOneThatDoesNot) {
  Fed fed({1, 2, 3, 4, 5, 6, 1, 2});
  fed.push(3);
  EXPECT_EQ(fed.drafts.matched(), 3);
  fed.push(4);
  EXPECT_EQ(fed.guesses(2), Tokens({5, 6}));
  fed.push(99);
  EXPECT_EQ(fed.drafts.matched(), 0);
}

TEST(Drafts, LearnHowOftenTheyAreRight) {
  Fed wrong({});
  for (int32_t i = 0; i < 50; ++i) {
    for (int32_t t : {1, 2, 100 + i}) wrong.push(t);  // 1 2 is never followed by the same
  }
  EXPECT_LT(wrong.drafts.hit_rate(2), 0.05);
  Fed right({});
  for (int32_t i = 0; i < 200; ++i) right.push(i % 20);
  EXPECT_GT(right.drafts.hit_rate(32), 0.98);
}

// Against a search through the whole text: with few tokens a text is full of matches.
TEST(Drafts, FindWhatAFullSearchFinds) {
  std::minstd_rand random(1);
  Fed fed({});
  for (int n = 1; n <= 200; ++n) {
    fed.push(static_cast<int32_t>(random() % 12));
    bool occurred = false;
    const std::vector<int32_t>& t = fed.text;
    for (size_t p = 2; p + 1 <= t.size() && t.size() >= 3; ++p) {
      occurred |= p < t.size() && t[p - 2] == t[t.size() - 2] && t[p - 1] == t[t.size() - 1];
    }
    ASSERT_EQ(fed.drafts.matched() >= 2, occurred) << "after " << n << " tokens";
  }
}

TEST(Drafts, WithoutRoomGuessNothingNew) {
  Drafts drafts;
  std::vector<int32_t> text(5000, 3);
  drafts.follow(text);
  EXPECT_EQ(drafts.matched(), 0);
}

// A machine whose passes cost what `seconds` says, asked until it has made up its mind.
template <class F>
int64_t settled_count(const Drafts& drafts, F&& seconds) {
  PassCosts costs;
  int64_t count = 0;
  costs.learn(1, seconds(1));
  for (int i = 0; i < 40; ++i) {
    count = best_draft_count(drafts, costs, 63);
    costs.learn(count + 1, seconds(count + 1));
  }
  return count;
}

Drafts in_a_loop() {
  Fed fed({});
  for (int32_t i = 0; i < 400; ++i) fed.push(i % 7);
  return std::move(fed.drafts);
}

TEST(DraftCount, IsLargeWherePassesAreFree) {
  EXPECT_GE(settled_count(in_a_loop(), [](int64_t) { return 1.0; }), 31);
}

TEST(DraftCount, IsZeroWhereEveryTokenCostsAPass) {
  EXPECT_EQ(settled_count(in_a_loop(), [](int64_t w) { return static_cast<double>(w); }), 0);
}

TEST(DraftCount, StopsWhereAPassBeginsToCost) {
  // Free up to 4, a token each beyond: from memory-bound to compute-bound.
  const int64_t count = settled_count(
      in_a_loop(), [](int64_t w) { return w <= 4 ? 1.0 : static_cast<double>(w) - 3; });
  EXPECT_EQ(count, 3);
}

TEST(DraftCount, IsZeroForGuessesThatAreNeverRight) {
  Fed fed({});
  for (int32_t i = 0; i < 60; ++i) {
    for (int32_t t : {1, 2, 100 + i}) fed.push(t);
  }
  fed.push(1);
  fed.push(2);
  ASSERT_EQ(fed.drafts.matched(), 2);
  EXPECT_EQ(
      settled_count(fed.drafts, [](int64_t w) { return 1 + 0.1 * (static_cast<double>(w) - 1); }),
      0);
}

TEST(DraftCount, NeverExceedsTheMost) {
  PassCosts costs;
  for (int64_t w = 1; w <= 64; w *= 2) costs.learn(w, 1);
  for (int64_t most : {0, 1, 5, 63}) {
    EXPECT_LE(best_draft_count(in_a_loop(), costs, most), most);
  }
}

TEST(PassCosts, KeepTheSmallestAndFollowWhatGrows) {
  PassCosts costs;
  EXPECT_EQ(costs.seconds(1), 0);
  costs.learn(1, 3);
  costs.learn(1, 1);
  EXPECT_EQ(costs.seconds(1), 1);
  costs.learn(1, 1000);
  EXPECT_LT(costs.seconds(1), 1.1) << "one slow pass proves nothing";
  for (int i = 0; i < 100; ++i) costs.learn(1, 2);
  EXPECT_NEAR(costs.seconds(1), 2, 0.1);
}

TEST(PassCosts, GiveAWidthThatLookedBadAnotherChance) {
  PassCosts costs;
  costs.learn(1, 1);
  costs.learn(2, 50);
  EXPECT_EQ(costs.seconds(2), 50);
  for (int i = 0; i < 70; ++i) costs.learn(1, 1);
  EXPECT_LT(costs.seconds(2), 2);
}

}  // namespace
}  // namespace bitnet
