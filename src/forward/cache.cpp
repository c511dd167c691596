#include "forward/cache.h"

#include <algorithm>

namespace bitnet {
namespace {

int64_t pages_of(int64_t positions) noexcept {
  return (positions + kPagePositions - 1) / kPagePositions;
}

int64_t block_numbers(const HyperParameters& hyper) noexcept {
  return 2 * kPagePositions * hyper.head_dim;
}

}  // namespace

uint64_t KvCache::bytes_of(const HyperParameters& hyper, int64_t positions) noexcept {
  const int64_t blocks = pages_of(positions) * hyper.layers * hyper.kv_heads;
  return static_cast<uint64_t>(blocks * block_numbers(hyper)) * sizeof(uint16_t);
}

KvCache::KvCache(const HyperParameters& hyper, int64_t positions, int64_t sequences)
    : layers_(hyper.layers),
      kv_heads_(hyper.kv_heads),
      head_dim_(hyper.head_dim),
      block_numbers_(block_numbers(hyper)),
      storage_(bytes_of(hyper, positions)),
      users_(static_cast<size_t>(pages_of(positions))),
      sequences_(static_cast<size_t>(sequences)) {
  free_.reserve(users_.size());
  for (int64_t page = pages() - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

int32_t KvCache::take_page() noexcept {
  const int32_t page = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(page)] = 1;
  return page;
}

void KvCache::copy_page(int32_t from, int32_t to) noexcept {
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      std::copy_n(block(from, layer, head), block_numbers_, block(to, layer, head));
    }
  }
}

void KvCache::drop_page(int32_t page) noexcept {
  if (--users_[static_cast<size_t>(page)] == 0) free_.push_back(page);  // within its capacity
}

int64_t KvCache::pages_needed(int64_t sequence, int64_t count) const noexcept {
  const Sequence& s = at(sequence);
  const int64_t length = static_cast<int64_t>(s.tokens.size());
  const int64_t more = pages_of(length + count) - static_cast<int64_t>(s.pages.size());
  const bool copies =
      count > 0 && length % kPagePositions != 0 && users_[static_cast<size_t>(s.pages.back())] > 1;
  return more + (copies ? 1 : 0);
}

bool KvCache::can_extend(int64_t sequence, int64_t keep, int64_t positions) const noexcept {
  const Sequence& s = at(sequence);
  const int64_t kept = pages_of(keep);
  int64_t available = pages_free();
  for (size_t page = static_cast<size_t>(kept); page < s.pages.size(); ++page) {
    available += users_[static_cast<size_t>(s.pages[page])] == 1;
  }
  const bool copies = keep % kPagePositions != 0 && positions > keep &&
                      users_[static_cast<size_t>(s.pages[static_cast<size_t>(kept - 1)])] > 1;
  return pages_of(positions) - kept + (copies ? 1 : 0) <= available;
}

void KvCache::reserve(int64_t sequence, int64_t count) {
  Sequence& s = at(sequence);
  const int64_t length = static_cast<int64_t>(s.tokens.size());
  const size_t pages = static_cast<size_t>(pages_of(length + count));
  s.ahead_count = 0;
  // In whole pages, so that a decoded token rarely allocates, and before anything changes.
  if (s.tokens.capacity() < pages * kPagePositions) s.tokens.reserve(2 * pages * kPagePositions);
  if (s.pages.capacity() < pages) s.pages.reserve(2 * pages);

  if (count > 0 && length % kPagePositions != 0 &&
      users_[static_cast<size_t>(s.pages.back())] > 1) {
    const int32_t shared = s.pages.back();
    const int32_t own = take_page();
    copy_page(shared, own);
    drop_page(shared);
    s.pages.back() = own;
  }
  while (s.pages.size() < pages) s.pages.push_back(take_page());
}

void KvCache::truncate(int64_t sequence, int64_t positions) noexcept {
  Sequence& s = at(sequence);
  s.ahead_count = 0;
  if (positions < static_cast<int64_t>(s.tokens.size())) {
    s.tokens.resize(static_cast<size_t>(positions));
  }
  const size_t pages = static_cast<size_t>(pages_of(static_cast<int64_t>(s.tokens.size())));
  while (s.pages.size() > pages) {
    drop_page(s.pages.back());
    s.pages.pop_back();
  }
}

void KvCache::keep_ahead(int64_t sequence, int64_t positions) noexcept {
  Sequence& s = at(sequence);
  const int64_t end = std::min(length(sequence), pages_of(positions) * kPagePositions);
  const int64_t count = std::max(end - positions, int64_t{0});
  if (count > 0) std::copy_n(s.tokens.begin() + positions, count, s.ahead);
  truncate(sequence, positions);
  s.ahead_count = count;
}

bool KvCache::advance(int64_t sequence, int32_t token) noexcept {
  Sequence& s = at(sequence);
  if (s.ahead_count == 0 || s.ahead[0] != token ||
      users_[static_cast<size_t>(s.pages.back())] > 1) {
    return false;
  }
  s.tokens.push_back(token);  // within its capacity: it was that long before
  --s.ahead_count;
  std::copy_n(s.ahead + 1, s.ahead_count, s.ahead);
  return true;
}

void KvCache::fork(int64_t from, int64_t to) {
  if (from == to) return;
  Sequence& target = at(to);
  const Sequence& source = at(from);
  Sequence copy;
  copy.pages = source.pages;
  copy.tokens = source.tokens;
  truncate(to, 0);
  for (int32_t page : copy.pages) ++users_[static_cast<size_t>(page)];
  std::swap(target, copy);
}

uint64_t KvCache::match(int64_t sequence, std::span<const int32_t> wanted) const noexcept {
  const std::span<const int32_t> held = tokens(sequence);
  const ptrdiff_t n = static_cast<ptrdiff_t>(std::min(held.size(), wanted.size()));
  return static_cast<uint64_t>(std::mismatch(held.begin(), held.begin() + n, wanted.begin()).first -
                               held.begin());
}

bool KvCache::replace(int64_t sequence, std::span<const int32_t> tokens) {
  Sequence& s = at(sequence);
  const int64_t count = static_cast<int64_t>(tokens.size());
  int64_t available = pages_free();
  for (int32_t page : s.pages) available += users_[static_cast<size_t>(page)] == 1;
  if (pages_of(count) > available) return false;
  Sequence fresh;
  fresh.tokens.assign(tokens.begin(), tokens.end());
  fresh.pages.reserve(static_cast<size_t>(pages_of(count)));
  truncate(sequence, 0);
  while (static_cast<int64_t>(fresh.pages.size()) < pages_of(count)) {
    fresh.pages.push_back(take_page());
  }
  std::swap(s, fresh);
  return true;
}

}  // namespace bitnet
