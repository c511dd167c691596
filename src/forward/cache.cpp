#include "forward/cache.h"

#include <algorithm>

namespace bitnet {
namespace {

int64_t block_numbers(const HyperParameters& hyper) noexcept {
  return 2 * kPagePositions * hyper.head_dim;
}

}  // namespace

uint64_t KvCache::bytes_of(const HyperParameters& hyper, int64_t positions) noexcept {
  const int64_t blocks = pages_of(positions) * hyper.layers * hyper.kv_heads;
  return static_cast<uint64_t>(blocks * block_numbers(hyper)) * sizeof(uint16_t);
}

KvCache::KvCache(const HyperParameters& hyper, int64_t positions, int64_t sequences,
                 RemotePages* remote)
    : layers_(hyper.layers),
      kv_heads_(hyper.kv_heads),
      head_dim_(hyper.head_dim),
      block_numbers_(block_numbers(hyper)),
      remote_(remote),
      storage_(remote ? Buffer() : Buffer(bytes_of(hyper, positions))),
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

Status KvCache::copy_page(int32_t from, int32_t to) noexcept {
  if (remote_) return remote_->copy_page(from, to);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      std::copy_n(block(from, layer, head), block_numbers_, block(to, layer, head));
    }
  }
  return {};
}

Status KvCache::read_page(int32_t page, uint16_t* numbers) const noexcept {
  if (remote_) return remote_->read_page(page, numbers);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (int64_t head = 0; head < kv_heads_; ++head, numbers += block_numbers_) {
      std::copy_n(block(page, layer, head), block_numbers_, numbers);
    }
  }
  return {};
}

Status KvCache::write_page(int32_t page, const uint16_t* numbers) noexcept {
  if (remote_) return remote_->write_page(page, numbers);
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (int64_t head = 0; head < kv_heads_; ++head, numbers += block_numbers_) {
      std::copy_n(numbers, block_numbers_, block(page, layer, head));
    }
  }
  return {};
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

Status KvCache::reserve(int64_t sequence, int64_t count) {
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
    const Status copied = copy_page(shared, own);
    drop_page(copied.ok() ? shared : own);
    BITNET_TRY(Status(copied));
    s.pages.back() = own;
  }
  while (s.pages.size() < pages) s.pages.push_back(take_page());
  return {};
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

// Nothing has changed yet: pages are only looked up here, those of the free stack from its top.
Status KvCache::begin_replacing(int64_t sequence, std::span<const int32_t> tokens,
                                Replacement& fresh) {
  const size_t wanted = static_cast<size_t>(pages_of(static_cast<int64_t>(tokens.size())));
  fresh.pages.reserve(wanted);
  for (size_t i = free_.size(); i > 0 && fresh.pages.size() < wanted; --i) {
    fresh.pages.push_back(free_[i - 1]);
  }
  for (int32_t page : at(sequence).pages) {
    if (fresh.pages.size() == wanted) break;
    if (users_[static_cast<size_t>(page)] == 1) fresh.pages.push_back(page);
  }
  if (fresh.pages.size() < wanted) {
    return Status::error(
        BITNET_E_CONTEXT_FULL,
        "the sequence has %zu positions, other sequences leave less of the cache's "
        "%lld",
        tokens.size(), static_cast<long long>(positions()));
  }
  fresh.tokens.assign(tokens.begin(), tokens.end());
  fresh.numbers = Buffer(static_cast<uint64_t>(page_numbers()) * sizeof(uint16_t));
  return {};
}

void KvCache::finish_replacing(int64_t sequence, Replacement& fresh) noexcept {
  for (int32_t page : fresh.pages) {
    if (++users_[static_cast<size_t>(page)] == 1) free_.pop_back();  // taken from the top, in order
  }
  truncate(sequence, 0);
  std::swap(at(sequence).pages, fresh.pages);
  std::swap(at(sequence).tokens, fresh.tokens);
}

}  // namespace bitnet
