// The KV cache: pages of 64 positions, shared copy-on-write between sequences.
//
// A page holds one run of 64 positions for all layers: for each layer and KV head a block
// [K | V][64][head_dim] f16, K placed by key_place(). Pages lie in groups: [page / 8][layer]
// [kv_head][page % 8], since attention reads one head's blocks page after page, and memory likes
// long runs (2B-4T shapes behind 3,500 positions, two cores of Zen 5: attention of a token 9.7 ->
// 7.9 ms).
// Invariants: a page's `users` is the number of sequences that list it, a free page has 0;
// a sequence of n tokens lists ceil(n / 64) pages, between reserve() and commit() or rollback()
// more. Not thread-safe; one context owns it.
//
// With a device the numbers are there (RemotePages) and only the bookkeeping is here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/memory.h"
#include "base/status.h"
#include "compute/ops.h"
#include "model/model.h"

namespace bitnet {

// Pages whose numbers are somewhere else. As far as it matters here a page is [layers][kv_heads]
// blocks.
class RemotePages {
 public:
  virtual Status copy_page(int32_t from, int32_t to) noexcept = 0;
  virtual Status read_page(int32_t page, uint16_t* numbers) noexcept = 0;
  virtual Status write_page(int32_t page, const uint16_t* numbers) noexcept = 0;

 protected:
  ~RemotePages() = default;
};

class KvCache {
 public:
  // remote: where the pages are, if not here; must outlive the cache.
  KvCache(const HyperParameters& hyper, int64_t positions, int64_t sequences,
          RemotePages* remote = nullptr);

  static uint64_t bytes_of(const HyperParameters& hyper, int64_t positions) noexcept;
  static int64_t pages_of(int64_t positions) noexcept {
    return (positions + kPagePositions - 1) / kPagePositions;
  }

  int64_t sequences() const noexcept { return static_cast<int64_t>(sequences_.size()); }
  int64_t positions() const noexcept { return pages() * kPagePositions; }
  int64_t positions_used() const noexcept {
    return (pages() - static_cast<int64_t>(free_.size())) * kPagePositions;
  }
  // Wherever they are.
  uint64_t bytes() const noexcept {
    return static_cast<uint64_t>(pages() * page_numbers()) * sizeof(uint16_t);
  }
  int64_t length(int64_t sequence) const noexcept {
    return static_cast<int64_t>(at(sequence).tokens.size());
  }
  std::span<const int32_t> tokens(int64_t sequence) const noexcept { return at(sequence).tokens; }

  // How many of `tokens` the sequence holds from its start.
  uint64_t match(int64_t sequence, std::span<const int32_t> tokens) const noexcept;

  // Pages that `count` more positions of this sequence would take from the free ones.
  int64_t pages_needed(int64_t sequence, int64_t count) const noexcept;
  int64_t pages_free() const noexcept { return static_cast<int64_t>(free_.size()); }
  // Whether the sequence, cut to its first `keep` positions, could then grow to `positions`.
  bool can_extend(int64_t sequence, int64_t keep, int64_t positions) const noexcept;
  // Makes the next `count` positions writable (the page they begin in is made this sequence's own).
  // pages_needed() must be free. Fails as RemotePages does, and may throw std::bad_alloc, having
  // changed nothing that shows.
  Status reserve(int64_t sequence, int64_t count);
  void commit(int64_t sequence, int32_t token) { at(sequence).tokens.push_back(token); }
  // Gives reserved pages without tokens back.
  void rollback(int64_t sequence) noexcept { truncate(sequence, length(sequence)); }

  void truncate(int64_t sequence, int64_t positions) noexcept;
  // Truncates, but remembers the tokens whose keys and values the sequence's last page still holds
  // beyond its end. They show in nothing but advance() and are forgotten as soon as the sequence is
  // changed by anything else.
  void keep_ahead(int64_t sequence, int64_t positions) noexcept;
  // Appends the next token kept ahead, if it is this one and the page is the sequence's own
  // (decoding would copy a shared one); else changes nothing and returns false.
  bool advance(int64_t sequence, int32_t token) noexcept;
  void fork(int64_t from, int64_t to);  // may throw std::bad_alloc, having changed nothing
  // Makes the sequence these tokens, on pages of its own: fill(index, numbers) writes the numbers
  // of each, which are zeros before, as read_page() gives them. BITNET_E_CONTEXT_FULL if there are
  // not enough pages, and fails as RemotePages does; may throw std::bad_alloc. The sequence is then
  // what it was, unless a page of its own had to be taken and its device has failed for good.
  template <class Fill>
  Status replace(int64_t sequence, std::span<const int32_t> tokens, Fill&& fill) {
    Replacement fresh;
    BITNET_TRY(begin_replacing(sequence, tokens, fresh));
    for (size_t i = 0; i < fresh.pages.size(); ++i) {
      std::fill_n(fresh.numbers.as<uint16_t>(), page_numbers(), uint16_t{0});
      fill(static_cast<int64_t>(i), fresh.numbers.as<uint16_t>());
      BITNET_TRY(write_page(fresh.pages[i], fresh.numbers.as<uint16_t>()));
    }
    finish_replacing(sequence, fresh);
    return {};
  }

  // Pages of a sequence, in order of positions.
  std::span<const int32_t> pages(int64_t sequence) const noexcept { return at(sequence).pages; }
  // f16 numbers of a page, and these: [layers][kv_heads][K | V][kPagePositions][head_dim].
  int64_t page_numbers() const noexcept { return layers_ * kv_heads_ * block_numbers_; }
  Status read_page(int32_t page, uint16_t* numbers) const noexcept;

  // Not with remote pages. Of the page with this index in the sequence: keys, placed by
  // key_place(), and values, [kPagePositions][head_dim].
  uint16_t* keys(int64_t sequence, int64_t page, int64_t layer, int64_t kv_head) noexcept {
    return block(at(sequence).pages[static_cast<size_t>(page)], layer, kv_head);
  }
  const uint16_t* keys(int64_t sequence, int64_t page, int64_t layer,
                       int64_t kv_head) const noexcept {
    return const_cast<KvCache*>(this)->keys(sequence, page, layer, kv_head);
  }
  uint16_t* values(int64_t sequence, int64_t page, int64_t layer, int64_t kv_head) noexcept {
    return keys(sequence, page, layer, kv_head) + kPagePositions * head_dim_;
  }

 private:
  struct Sequence {
    Vec<int32_t> pages;
    Vec<int32_t> tokens;
    int32_t ahead[kPagePositions] = {};
    int64_t ahead_count = 0;  // ahead[i] is at position tokens.size() + i
  };
  Sequence& at(int64_t sequence) noexcept { return sequences_[static_cast<size_t>(sequence)]; }
  const Sequence& at(int64_t sequence) const noexcept {
    return sequences_[static_cast<size_t>(sequence)];
  }
  int64_t pages() const noexcept { return static_cast<int64_t>(users_.size()); }
  uint16_t* block(int32_t page, int64_t layer, int64_t kv_head) noexcept {
    const int64_t first = page / kGroupPages * kGroupPages;
    const int64_t group = std::min(kGroupPages, pages() - first);  // the last one may have fewer
    const int64_t before = first * layers_ * kv_heads_ + (layer * kv_heads_ + kv_head) * group;
    return storage_.as<uint16_t>() + (before + page - first) * block_numbers_;
  }
  const uint16_t* block(int32_t page, int64_t layer, int64_t kv_head) const noexcept {
    return const_cast<KvCache*>(this)->block(page, layer, kv_head);
  }
  // What a sequence will be, on free pages and then on some that are its own only.
  struct Replacement {
    Vec<int32_t> pages, tokens;
    Buffer numbers;  // of one page
  };
  Status begin_replacing(int64_t sequence, std::span<const int32_t> tokens, Replacement& fresh);
  void finish_replacing(int64_t sequence, Replacement& fresh) noexcept;
  Status copy_page(int32_t from, int32_t to) noexcept;
  Status write_page(int32_t page, const uint16_t* numbers) noexcept;
  int32_t take_page() noexcept;
  void drop_page(int32_t page) noexcept;

  static constexpr int64_t kGroupPages = 8;
  int64_t layers_, kv_heads_, head_dim_;
  int64_t block_numbers_;  // f16 numbers of a page in one layer and head
  RemotePages* remote_;
  Buffer storage_;      // empty with remote pages
  Vec<int32_t> users_;  // [pages]
  Vec<int32_t> free_;   // stack of free pages
  Vec<Sequence> sequences_;
};

}  // namespace bitnet
