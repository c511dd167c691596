#include "tokens/symbols.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace bitnet {
namespace {

// Longest search of a free slot that loading accepts; honest hashes stay far below.
constexpr size_t kMaxProbes = 512;
// Words up to this many parts are searched through for each merge: cheaper than a heap.
constexpr size_t kShortWord = 40;

Status too_many_alike() noexcept {
  return Status::error(BITNET_E_FORMAT, "more than %zu texts or merges share a hash value",
                       kMaxProbes);
}

size_t slots_for(size_t entries) {
  return std::bit_ceil(std::max<size_t>(16, 2 * entries));
}

}  // namespace

std::string_view TextArena::join(std::string_view left, std::string_view right) {
  constexpr size_t kBlock = 1 << 16;
  const size_t bytes = left.size() + right.size();
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < bytes) {
    Vec<char> block;
    block.reserve(std::max(kBlock, bytes));
    blocks_.push_back(std::move(block));
  }
  Vec<char>& block = blocks_.back();
  const size_t start = block.size();
  block.insert(block.end(), left.begin(), left.end());
  block.insert(block.end(), right.begin(), right.end());
  return {block.data() + start, bytes};
}

SymbolTable::SymbolTable(size_t tokens) : texts_(tokens), slots_(slots_for(tokens)) {}

SymbolTable::Slot* SymbolTable::place(std::string_view text, uint32_t hash) noexcept {
  const size_t mask = slots_.size() - 1;
  for (size_t probe = 0; probe < kMaxProbes; ++probe) {
    Slot& slot = slots_[(hash + probe) & mask];
    if (slot.symbol == kNoSymbol) return &slot;
    if (slot.hash == hash && texts_[slot.symbol] == text) return &slot;
  }
  return nullptr;
}

uint32_t SymbolTable::find(std::string_view text, uint32_t hash) const noexcept {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.symbol == kNoSymbol) return kNoSymbol;
    if (slot.hash == hash && texts_[slot.symbol] == text) return slot.symbol;
  }
}

void SymbolTable::grow() {
  Vec<Slot> old = std::move(slots_);
  slots_.assign(old.size() * 2, Slot{});
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.symbol == kNoSymbol) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].symbol != kNoSymbol) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

Status SymbolTable::enter(uint32_t token, std::string_view text) {
  if (2 * (used_ + 1) > slots_.size()) grow();
  const uint32_t hash = hash_text(text);
  Slot* slot = place(text, hash);
  if (!slot) return too_many_alike();
  if (slot->symbol != kNoSymbol) return Status();
  *slot = {token, hash};
  texts_[token] = text;
  ++used_;
  return Status();
}

Result<uint32_t> SymbolTable::intern(std::string_view text) {
  if (2 * (used_ + 1) > slots_.size()) grow();
  const uint32_t hash = hash_text(text);
  Slot* slot = place(text, hash);
  if (!slot) return too_many_alike();
  if (slot->symbol == kNoSymbol) {
    const auto symbol = static_cast<uint32_t>(texts_.size());
    texts_.push_back(text);
    *slot = {symbol, hash};
    ++used_;
  }
  return slot->symbol;
}

MergeTable::MergeTable(size_t pairs) : slots_(slots_for(pairs)) {}

MergeTable::Slot* MergeTable::place(uint32_t left, uint32_t right) noexcept {
  const size_t mask = slots_.size() - 1;
  const size_t start = home(left, right);
  for (size_t probe = 0; probe < kMaxProbes; ++probe) {
    Slot& slot = slots_[(start + probe) & mask];
    if (slot.left == kNoSymbol || (slot.left == left && slot.right == right)) return &slot;
  }
  return nullptr;
}

Merge MergeTable::find(uint32_t left, uint32_t right) const noexcept {
  const size_t mask = slots_.size() - 1;
  for (size_t at = home(left, right);; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return slot.merge;
    if (slot.left == kNoSymbol) return kNoMerge;
  }
}

void MergeTable::grow() {
  Vec<Slot> old = std::move(slots_);
  slots_.assign(std::max<size_t>(16, old.size() * 2), Slot{});
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.left == kNoSymbol) continue;
    size_t at = home(slot.left, slot.right);
    while (slots_[at].left != kNoSymbol) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

Status MergeTable::enter(uint32_t left, uint32_t right, Merge merge) {
  if (2 * (used_ + 1) > slots_.size()) grow();
  Slot* slot = place(left, right);
  if (!slot) return too_many_alike();
  if (slot->left != kNoSymbol) return Status();
  *slot = {left, right, merge};
  ++used_;
  return Status();
}

size_t Merger::run(const MergeTable& merges, std::span<Part> parts) {
  return parts.size() <= kShortWord ? run_short(merges, parts) : run_long(merges, parts);
}

size_t Merger::run_short(const MergeTable& merges, std::span<Part> parts) noexcept {
  size_t n = parts.size();
  Merge pairs[kShortWord];  // pairs[i] joins parts i and i + 1
  const auto pair_at = [&](size_t i) {
    return i + 1 < n ? merges.find(parts[i].symbol, parts[i + 1].symbol) : kNoMerge;
  };
  for (size_t i = 0; i < n; ++i) pairs[i] = pair_at(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoMerge.rank) break;
    parts[best].symbol = pairs[best].symbol;
    std::copy(parts.begin() + best + 2, parts.begin() + n, parts.begin() + best + 1);
    std::copy(pairs + best + 2, pairs + n, pairs + best + 1);
    --n;
    pairs[best] = pair_at(best);
    if (best > 0) pairs[best - 1] = pair_at(best - 1);
  }
  return n;
}

// A queue entry is current as long as its rank is still the rank of the pair at its position: a
// pair that changed leaves its old entry behind, to be dropped when it comes up.
size_t Merger::run_long(const MergeTable& merges, std::span<Part> parts) {
  const auto n = static_cast<uint32_t>(parts.size());
  constexpr uint32_t kNone = UINT32_MAX;
  links_.resize(n);
  queue_.clear();
  const auto pair_up = [&](uint32_t i) {
    Link& link = links_[i];
    link.merge =
        link.next == kNone ? kNoMerge : merges.find(parts[i].symbol, parts[link.next].symbol);
    return link.merge.rank != kNoMerge.rank;
  };
  const auto entry = [&](uint32_t i) { return uint64_t{links_[i].merge.rank} << 32 | i; };
  const auto enqueue = [&](uint32_t i) {
    queue_.push_back(entry(i));
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  };

  for (uint32_t i = 0; i < n; ++i) {
    links_[i] = {i == 0 ? kNone : i - 1, i + 1 == n ? kNone : i + 1, kNoMerge};
    if (pair_up(i)) queue_.push_back(entry(i));
  }
  std::make_heap(queue_.begin(), queue_.end(), std::greater<>());
  while (!queue_.empty()) {
    const uint64_t top = queue_.front();
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
    queue_.pop_back();
    const auto i = static_cast<uint32_t>(top);
    Link& link = links_[i];
    if (link.merge.rank != top >> 32) continue;
    parts[i].symbol = link.merge.symbol;
    Link& gone = links_[link.next];
    gone.merge = kNoMerge;
    link.next = gone.next;
    if (link.next != kNone) links_[link.next].previous = i;
    if (pair_up(i)) enqueue(i);
    if (link.previous != kNone && pair_up(link.previous)) enqueue(link.previous);
  }

  size_t left = 0;
  for (uint32_t i = 0; i != kNone; i = links_[i].next) parts[left++] = parts[i];
  return left;
}

}  // namespace bitnet
