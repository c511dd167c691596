#include "tokens/split.h"

#include <utility>

namespace bitnet {
namespace {

// The pieces of one text that the rules below look at, by byte positions.
class Reader {
 public:
  Reader(const CharClasses& classes, std::string_view text) noexcept
      : classes_(classes), text_(text) {}

  size_t size() const noexcept { return text_.size(); }
  char byte(size_t at) const noexcept { return at < text_.size() ? text_[at] : '\0'; }
  ClassifiedChar at(size_t at) const noexcept { return classes_.first(text_.substr(at)); }
  bool is(size_t at, uint8_t classes) const noexcept {
    return at < size() && (this->at(at).classes & classes) != 0;
  }
  // None of letter, number and space.
  bool is_other(size_t at) const noexcept {
    return at < size() && (this->at(at).classes & (kLetter | kNumber | kSpace)) == 0;
  }
  size_t skip(size_t at, uint8_t classes) const noexcept {
    while (at < size()) {
      const ClassifiedChar c = this->at(at);
      if ((c.classes & classes) == 0) break;
      at += c.length;
    }
    return at;
  }
  size_t skip_other(size_t at) const noexcept {
    while (at < size()) {
      const ClassifiedChar c = this->at(at);
      if ((c.classes & (kLetter | kNumber | kSpace)) != 0) break;
      at += c.length;
    }
    return at;
  }

 private:
  const CharClasses& classes_;
  std::string_view text_;
};

// Bytes of 's 't 're 've 'm 'll 'd at `at`, 0 if none is there.
size_t contraction(const Reader& text, size_t at) noexcept {
  if (text.byte(at) != '\'') return 0;
  const char a = text.byte(at + 1), b = text.byte(at + 2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// The same under (?i:): U+017F, the long s, folds to s.
size_t contraction_any_case(const Reader& text, size_t at) noexcept {
  if (text.byte(at) != '\'') return 0;
  const auto lower = [&](size_t i) {
    const char c = text.byte(i);
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char a = lower(at + 1), b = lower(at + 2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (a == '\xC5' && text.byte(at + 2) == '\xBF') return 3;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// \s+(?!\S)|\s+ : a run of spaces leaves its last one to what follows it, unless it is the only
// one.
size_t spaces_end(const Reader& text, size_t at) noexcept {
  size_t end = at, last = at;
  while (text.is(end, kSpace)) {
    last = end;
    end += text.at(end).length;
  }
  return end == text.size() || last == at ? end : last;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t spaces_or_lines_end(const Reader& text, size_t at) noexcept {
  size_t lines_end = at;
  for (size_t end = at; text.is(end, kSpace);) {
    const ClassifiedChar c = text.at(end);
    end += c.length;
    if (c.classes & kLineBreak) lines_end = end;
  }
  return lines_end > at ? lines_end : spaces_end(text, at);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
size_t llama3_word_end(const Reader& text, size_t at, int digits) noexcept {
  if (const size_t n = contraction_any_case(text, at)) return at + n;
  const ClassifiedChar c = text.at(at);
  if (c.classes & kLetter) return text.skip(at, kLetter);
  if (c.classes & kNumber) {
    size_t end = at;
    for (int i = 0; i < digits && text.is(end, kNumber); ++i) end += text.at(end).length;
    return end;
  }
  if (!(c.classes & kLineBreak) && text.is(at + c.length, kLetter)) {
    return text.skip(at + c.length, kLetter);
  }
  const size_t other = text.byte(at) == ' ' ? at + 1 : at;
  if (text.is_other(other)) return text.skip(text.skip_other(other), kLineBreak);
  return spaces_or_lines_end(text, at);
}

size_t llama3_end(const Reader& text, size_t at) noexcept {
  return llama3_word_end(text, at, 3);
}
size_t qwen2_end(const Reader& text, size_t at) noexcept {
  return llama3_word_end(text, at, 1);
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S), and what is left over:
// one space character that nothing else takes.
size_t gpt2_end(const Reader& text, size_t at) noexcept {
  if (const size_t n = contraction(text, at)) return at + n;
  const size_t body = text.byte(at) == ' ' ? at + 1 : at;
  if (text.is(body, kLetter)) return text.skip(body, kLetter);
  if (text.is(body, kNumber)) return text.skip(body, kNumber);
  if (text.is_other(body)) return text.skip_other(body);
  return spaces_end(text, at);
}

// Runs of characters that satisfy the predicate, and the runs between them.
template <class Predicate>
size_t run_end(const Reader& text, size_t at, Predicate belongs) noexcept {
  const bool inside = belongs(text, at);
  do {
    at += text.at(at).length;
  } while (at < text.size() && belongs(text, at) == inside);
  return at;
}

bool is_one_of(char c, std::string_view set) noexcept {
  return set.find(c) != std::string_view::npos;
}

// [\p{P}\$\+<=>\^~\|`]+
size_t falcon_end(const Reader& text, size_t at) noexcept {
  return run_end(text, at, [](const Reader& t, size_t i) {
    return t.is(i, kPunctuation) || is_one_of(t.byte(i), "$+<=>^~|`");
  });
}

// [\p{P}\$\+<=>\^~\|]+
size_t default_end(const Reader& text, size_t at) noexcept {
  return run_end(text, at, [](const Reader& t, size_t i) {
    return t.is(i, kPunctuation) || is_one_of(t.byte(i), "$+<=>^~|");
  });
}

// \p{N}+
size_t numbers_end(const Reader& text, size_t at) noexcept {
  return run_end(text, at, [](const Reader& t, size_t i) { return t.is(i, kNumber); });
}

// [0-9][0-9][0-9]
size_t three_digits_end(const Reader& text, size_t at) noexcept {
  const auto is_digit = [&](size_t i) { return text.byte(i) >= '0' && text.byte(i) <= '9'; };
  const auto matches = [&](size_t i) { return is_digit(i) && is_digit(i + 1) && is_digit(i + 2); };
  if (matches(at)) return at + 3;
  while (++at < text.size() && !matches(at)) {
  }
  return at;
}

// Where the word that starts at `at` ends.
using WordEnd = size_t (*)(const Reader&, size_t at) noexcept;

// Cuts every piece of `from` (ends) again; what surrounds a piece is invisible to the rule.
template <WordEnd word_end>
void cut(const CharClasses& classes, std::string_view text, Words& words) {
  words.spare.clear();
  uint32_t start = 0;
  for (const uint32_t end : words.ends) {
    const Reader piece(classes, text.substr(start, end - start));
    for (size_t at = 0; at < piece.size();) {
      at = word_end(piece, at);
      words.spare.push_back(static_cast<uint32_t>(start + at));
    }
    start = end;
  }
  std::swap(words.ends, words.spare);
}

}  // namespace

void split(Splitter splitter, const CharClasses& classes, std::string_view text, Words& words) {
  words.ends.assign(text.empty() ? 0 : 1, static_cast<uint32_t>(text.size()));
  switch (splitter) {
    case Splitter::kLlama3:
      return cut<llama3_end>(classes, text, words);
    case Splitter::kQwen2:
      return cut<qwen2_end>(classes, text, words);
    case Splitter::kGpt2:
      return cut<gpt2_end>(classes, text, words);
    case Splitter::kFalcon:
      cut<falcon_end>(classes, text, words);
      cut<gpt2_end>(classes, text, words);
      return cut<three_digits_end>(classes, text, words);
    case Splitter::kDefault:
      cut<default_end>(classes, text, words);
      cut<gpt2_end>(classes, text, words);
      cut<numbers_end>(classes, text, words);
      return cut<three_digits_end>(classes, text, words);
  }
}

}  // namespace bitnet
