// Finds: pages leaked, shared or overwritten by the wrong sequence; a failed reservation that
// shows.
#include "forward/cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace bitnet {
namespace {

HyperParameters small() {
  HyperParameters h{};
  h.layers = 2;
  h.kv_heads = 3;
  h.head_dim = 4;
  h.context = 1024;
  return h;
}

// Appends tokens the way the forward pass does, marking each position of each block with its token.
void append(KvCache& cache, int64_t sequence, const std::vector<int32_t>& tokens) {
  const HyperParameters h = small();
  ASSERT_LE(cache.pages_needed(sequence, static_cast<int64_t>(tokens.size())), cache.pages_free());
  ASSERT_TRUE(cache.reserve(sequence, static_cast<int64_t>(tokens.size())).ok());
  for (int32_t token : tokens) {
    const int64_t position = cache.length(sequence);
    for (int64_t layer = 0; layer < h.layers; ++layer) {
      for (int64_t head = 0; head < h.kv_heads; ++head) {
        for (int64_t i = 0; i < h.head_dim; ++i) {
          const int64_t at = position % kPagePositions * h.head_dim + i;
          const uint16_t mark = static_cast<uint16_t>(token * 7 + layer * 3 + head);
          cache.keys(sequence, position / kPagePositions, layer, head)[at] = mark;
          cache.values(sequence, position / kPagePositions, layer, head)[at] =
              static_cast<uint16_t>(mark + 1);
        }
      }
    }
    cache.commit(sequence, token);
  }
}

void expect_holds(KvCache& cache, int64_t sequence, const std::vector<int32_t>& tokens) {
  const HyperParameters h = small();
  ASSERT_EQ(cache.length(sequence), static_cast<int64_t>(tokens.size()));
  for (size_t p = 0; p < tokens.size(); ++p) {
    EXPECT_EQ(cache.tokens(sequence)[p], tokens[p]);
    for (int64_t layer = 0; layer < h.layers; ++layer) {
      for (int64_t head = 0; head < h.kv_heads; ++head) {
        const int64_t position = static_cast<int64_t>(p);
        const int64_t at = position % kPagePositions * h.head_dim + 1;
        const uint16_t mark = static_cast<uint16_t>(tokens[p] * 7 + layer * 3 + head);
        ASSERT_EQ(cache.keys(sequence, position / kPagePositions, layer, head)[at], mark);
        ASSERT_EQ(cache.values(sequence, position / kPagePositions, layer, head)[at],
                  static_cast<uint16_t>(mark + 1));
      }
    }
  }
}

TEST(KvCache, ForkSharesPagesUntilOneGrows) {
  KvCache cache(small(), 640, 3);
  append(cache, 0, std::vector<int32_t>(100, 5));
  EXPECT_EQ(cache.positions_used(), 128);
  cache.fork(0, 1);
  EXPECT_EQ(cache.positions_used(), 128) << "a fork takes no page";
  append(cache, 1, {9});
  EXPECT_EQ(cache.positions_used(), 192) << "growing copies the last page only";
  std::vector<int32_t> grown(100, 5);
  grown.push_back(9);
  expect_holds(cache, 1, grown);
  expect_holds(cache, 0, std::vector<int32_t>(100, 5));
  cache.truncate(0, 0);
  cache.truncate(1, 0);
  EXPECT_EQ(cache.positions_used(), 0);
}

// Blocks lie in groups of pages, of which the last may have fewer: none may overlap another.
TEST(KvCache, EveryPageHasItsOwnPlace) {
  for (int64_t pages : {1, 7, 8, 9, 16, 19}) {
    KvCache cache(small(), pages * kPagePositions, 2);
    std::vector<int32_t> tokens;
    for (int32_t p = 0; p < pages * kPagePositions - kPagePositions / 2; ++p) tokens.push_back(p);
    append(cache, 0, tokens);
    expect_holds(cache, 0, tokens);
    if (pages == 1) continue;
    // Without its last page there is one free, which a copy of another takes.
    tokens.resize(static_cast<size_t>((pages - 1) * kPagePositions - 1));
    cache.truncate(0, static_cast<int64_t>(tokens.size()));
    cache.fork(0, 1);
    append(cache, 1, {7});
    expect_holds(cache, 0, tokens);
    tokens.push_back(7);
    expect_holds(cache, 1, tokens);
    EXPECT_EQ(cache.pages_free(), 0);
  }
}

TEST(KvCache, ReplaceIsAllOrNothing) {
  KvCache cache(small(), 256, 2);
  append(cache, 0, std::vector<int32_t>(65, 1));
  append(cache, 1, std::vector<int32_t>(10, 2));
  const std::vector<int32_t> too_long(257, 3), fits(192, 4);
  const auto nothing = [](int64_t, uint16_t*) {};
  EXPECT_EQ(cache.replace(0, too_long, nothing).code(), BITNET_E_CONTEXT_FULL);
  expect_holds(cache, 0, std::vector<int32_t>(65, 1));
  EXPECT_EQ(cache.pages_free(), 1);
  const auto marked = [](int64_t, uint16_t* numbers) {
    const HyperParameters h = small();
    for (int64_t block = 0; block < h.layers * h.kv_heads; ++block) {
      const uint16_t mark =
          static_cast<uint16_t>(4 * 7 + block / h.kv_heads * 3 + block % h.kv_heads);
      const int64_t half = kPagePositions * h.head_dim;
      std::fill_n(numbers + 2 * block * half, half, mark);
      std::fill_n(numbers + (2 * block + 1) * half, half, static_cast<uint16_t>(mark + 1));
    }
  };
  EXPECT_TRUE(cache.replace(0, fits, marked).ok()) << "its own two pages count as free";
  expect_holds(cache, 0, fits);
  expect_holds(cache, 1, std::vector<int32_t>(10, 2));
  EXPECT_EQ(cache.pages_free(), 0);
  cache.truncate(0, 0);
  EXPECT_EQ(cache.pages_free(), 3);
}

TEST(KvCache, MatchCountsTheCommonBeginning) {
  KvCache cache(small(), 64, 1);
  append(cache, 0, {1, 2, 3});
  const std::vector<int32_t> same{1, 2, 3, 4}, other{1, 9}, none{7}, shorter{1, 2};
  EXPECT_EQ(cache.match(0, same), 3u);
  EXPECT_EQ(cache.match(0, other), 1u);
  EXPECT_EQ(cache.match(0, none), 0u);
  EXPECT_EQ(cache.match(0, shorter), 2u);
}

// Random operations against a plain model of what each sequence should hold.
TEST(KvCache, RandomOperationsKeepEverySequenceItsOwn) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    KvCache cache(small(), 1024, 5);
    std::map<int64_t, std::vector<int32_t>> expected;
    for (int step = 0; step < 200; ++step) {
      const int64_t s = random() % 5, other = random() % 5;
      switch (random() % 4) {
        case 0:
        case 1: {
          std::vector<int32_t> tokens(random() % 90);
          for (int32_t& t : tokens) t = static_cast<int32_t>(random() % 1000);
          if (cache.pages_needed(s, static_cast<int64_t>(tokens.size())) > cache.pages_free())
            break;
          append(cache, s, tokens);
          expected[s].insert(expected[s].end(), tokens.begin(), tokens.end());
          break;
        }
        case 2: {
          const size_t keep = expected[s].empty() ? 0 : random() % expected[s].size();
          cache.truncate(s, static_cast<int64_t>(keep));
          expected[s].resize(keep);
          break;
        }
        case 3:
          cache.fork(s, other);
          expected[other] = expected[s];
          break;
      }
      // A reservation that is taken back leaves no trace.
      if (cache.pages_needed(s, 70) <= cache.pages_free()) {
        ASSERT_TRUE(cache.reserve(s, 70).ok());
        cache.rollback(s);
      }
    }
    for (int64_t s = 0; s < 5; ++s) expect_holds(cache, s, expected[s]);
    for (int64_t s = 0; s < 5; ++s) cache.truncate(s, 0);
    EXPECT_EQ(cache.positions_used(), 0) << "no page is lost, seed " << seed;
  }
}

TEST(KvCache, TokensKeptAheadComeBackOneByOne) {
  KvCache cache(small(), 640, 2);
  append(cache, 0, {1, 2, 3, 4, 5});
  cache.keep_ahead(0, 2);
  expect_holds(cache, 0, {1, 2});
  EXPECT_FALSE(cache.advance(0, 4)) << "3 comes first";
  EXPECT_TRUE(cache.advance(0, 3));
  EXPECT_TRUE(cache.advance(0, 4));
  expect_holds(cache, 0, {1, 2, 3, 4});
  EXPECT_TRUE(cache.advance(0, 5));
  EXPECT_FALSE(cache.advance(0, 6));
  expect_holds(cache, 0, {1, 2, 3, 4, 5});
}

TEST(KvCache, KeepsNoPageForTokensAhead) {
  KvCache cache(small(), 640, 2);
  append(cache, 0, std::vector<int32_t>(70, 5));
  cache.keep_ahead(0, 60);
  EXPECT_EQ(cache.positions_used(), 64);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(cache.advance(0, 5));
  EXPECT_FALSE(cache.advance(0, 5)) << "it was on a page that is gone";
  expect_holds(cache, 0, std::vector<int32_t>(64, 5));
  append(cache, 0, {6, 7});
  cache.keep_ahead(0, 64);
  EXPECT_EQ(cache.positions_used(), 64);
  EXPECT_FALSE(cache.advance(0, 6));
}

TEST(KvCache, AnyOtherChangeForgetsWhatIsAhead) {
  const std::vector<int32_t> nine = {9};
  const auto forgets = [&](auto&& change) {
    KvCache cache(small(), 640, 2);
    append(cache, 0, {1, 2, 3, 4});
    append(cache, 1, {1, 2});
    cache.keep_ahead(0, 2);
    change(cache);
    return !cache.advance(0, 3);
  };
  EXPECT_FALSE(forgets([](KvCache&) {}));
  EXPECT_FALSE(forgets([&](KvCache& cache) { append(cache, 1, nine); })) << "of another sequence";
  EXPECT_TRUE(forgets([](KvCache& cache) { EXPECT_TRUE(cache.reserve(0, 1).ok()); }));
  EXPECT_TRUE(forgets([](KvCache& cache) { cache.truncate(0, 2); }));
  EXPECT_TRUE(forgets([](KvCache& cache) { cache.fork(1, 0); }));
  EXPECT_TRUE(forgets([&](KvCache& cache) {
    EXPECT_TRUE(cache.replace(0, nine, [](int64_t, uint16_t*) {}).ok());
  }));
  EXPECT_TRUE(forgets([](KvCache& cache) { cache.fork(0, 1); })) << "the page is shared";
}

}  // namespace
}  // namespace bitnet
