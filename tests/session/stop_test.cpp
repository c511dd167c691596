// Stop texts over a stream: the same text whatever the cuts, nothing held longer than needed.
#include "session/stop.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace bitnet {
namespace {

StopMatcher matcher(const std::vector<std::string>& stops) {
  Vec<String> texts;
  for (const auto& s : stops) texts.emplace_back(s.data(), s.size());
  auto opened = StopMatcher::open(texts);
  EXPECT_TRUE(opened.ok()) << opened.status().text();
  return std::move(opened.value());
}

struct Streamed {
  std::vector<std::string> parts;  // what each push let through; the last one is finish()
  bool stopped;
  std::string text() const {
    std::string all;
    for (const auto& p : parts) all += p;
    return all;
  }
};

Streamed streamed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher m = matcher(stops);
  Streamed result{};
  const auto take = [&](String& out) { result.parts.emplace_back(out.data(), out.size()); };
  for (const auto& piece : pieces) {
    String out;
    const bool stopped = m.push(piece, out);
    EXPECT_TRUE(stopped || !result.stopped) << "once stopped, always stopped";
    result.stopped = stopped;
    take(out);
  }
  String out;
  result.stopped = m.finish(out);
  take(out);
  return result;
}

TEST(StopMatcher, LetsEverythingThroughWithoutStops) {
  EXPECT_EQ(streamed({}, {"ab", "", "c"}).parts, (std::vector<std::string>{"ab", "", "c", ""}));
}

TEST(StopMatcher, EndsBeforeAStopInsideAPieceAndAcrossPieces) {
  EXPECT_EQ(streamed({"END"}, {"one END two"}).text(), "one ");
  EXPECT_EQ(streamed({"END"}, {"one E", "N", "D two", "END"}).text(), "one ");
  EXPECT_TRUE(streamed({"END"}, {"one E", "N", "D two"}).stopped);
  EXPECT_EQ(streamed({"END"}, {"END"}).text(), "");
}

TEST(StopMatcher, HoldsOnlyWhatMayBeAStop) {
  const auto s = streamed({"END"}, {"xE", "N", "o", "E"});
  EXPECT_EQ(s.parts, (std::vector<std::string>{"x", "", "ENo", "", "E"}));
  EXPECT_FALSE(s.stopped);
  EXPECT_EQ(streamed({"aab"}, {"aaa", "a", "b"}).parts,
            (std::vector<std::string>{"a", "a", "", ""}));
}

TEST(StopMatcher, StopsAsSoonAsItIsCertain) {
  StopMatcher m = matcher({"ab", "abc"});
  String out;
  EXPECT_TRUE(m.push("xab", out)) << "the longer one would give the same text";
  EXPECT_EQ(out, "x");
  EXPECT_TRUE(m.push("more", out));
  EXPECT_EQ(out, "x");
}

TEST(StopMatcher, TheFirstOccurrenceWinsEvenIfItEndsLater) {
  const std::vector<std::string> stops = {"ab", "xaby"};
  EXPECT_EQ(streamed(stops, {"wxab", "y"}).text(), "w");
  EXPECT_EQ(streamed(stops, {"wxab", "z"}).text(), "wx");
  EXPECT_TRUE(streamed(stops, {"wxab", "z"}).stopped);
  // The stream ends while that is open: the complete one counts.
  EXPECT_EQ(streamed(stops, {"wxab"}).text(), "wx");
  EXPECT_TRUE(streamed(stops, {"wxab"}).stopped);
}

TEST(StopMatcher, NeverLetsThroughAPartOfAUtf8Sequence) {
  // Stop and text share the first bytes of a three-byte character.
  const auto s = streamed({"\u20ac!"}, {"a\u20ac", "\u20ac", "?", "\u20ad"});
  EXPECT_EQ(s.parts, (std::vector<std::string>{"a", "\u20ac", "\u20ac?", "\u20ad", ""}));
}

TEST(StopMatcher, RefusesEmptyAndBrokenStopsAndNamesThem) {
  const auto refused = [](std::vector<std::string> stops, const char* text) {
    Vec<String> texts;
    for (const auto& s : stops) texts.emplace_back(s.data(), s.size());
    const auto opened = StopMatcher::open(texts);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.status().code(), BITNET_E_ARGUMENT);
    EXPECT_NE(std::string(opened.status().text()).find(text), std::string::npos)
        << opened.status().text();
  };
  refused({"a", ""}, "stop text 1 is empty");
  for (const char* broken : {"x\x80", "x\xc0\x80", "x\xe2\x82", "x\xed\xa0\x80",
                             "x\xf5\x80\x80\x80", "x\xf4\x90\x80\x80", "x\xe0\x80\x80", "x\xff"}) {
    refused({broken}, "stop text 0: byte 1");
  }
  EXPECT_TRUE(matcher({"\U0010ffff\u00e9\u0800\ud7ff\U00010000"}).held() == 0);
}

// One-shot definition: the text before the first place where any stop occurs.
std::string before_first_stop(const std::vector<std::string>& stops, const std::string& text) {
  size_t first = text.size();
  for (const auto& s : stops) first = std::min(first, text.find(s));
  return text.substr(0, first);
}

TEST(StopMatcher, GivesTheSameTextWhateverTheCuts) {
  std::mt19937 random(1);
  const auto word = [&](size_t least, size_t most) {
    std::string w(least + random() % (most - least + 1), 'a');
    for (char& c : w) c = "ab"[random() % 2];
    return w;
  };
  for (int trial = 0; trial < 40000; ++trial) {
    std::vector<std::string> stops(1 + random() % 3);
    for (auto& s : stops) s = word(1, 7);
    const std::string text = word(0, 24);
    size_t longest = 0;
    for (const auto& s : stops) longest = std::max(longest, s.size());
    StopMatcher m = matcher(stops);
    String out;
    bool stopped = false;
    for (size_t at = 0; at < text.size();) {
      const size_t bytes = std::min<size_t>(random() % 5, text.size() - at);
      stopped = m.push(std::string_view(text).substr(at, bytes), out);
      at += bytes;
      ASSERT_LT(m.held(), longest);
      if (!stopped && m.held() == 0) {
        ASSERT_EQ(out.size(), at);
      }
    }
    stopped = m.finish(out);
    const std::string expected = before_first_stop(stops, text);
    ASSERT_EQ(std::string(out.data(), out.size()), expected) << "trial " << trial;
    ASSERT_EQ(stopped, expected.size() < text.size()) << "trial " << trial;
  }
}

}  // namespace
}  // namespace bitnet
