#include "session/saved_sequence.h"

#include <algorithm>
#include <cstring>

namespace bitnet {
namespace {

struct Header {
  uint64_t magic, fingerprint, layers, kv_heads, head_dim, tokens;
};
constexpr uint64_t kMagic = 0x130514553544942;  // "BITSEQ0", format 1

// FNV-1a over 64-bit words: detects damage, is no defence against forgery.
uint64_t checksum_of(std::span<const uint8_t> data) noexcept {
  uint64_t hash = 14695981039346656037u;
  size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, data.data() + at, 8);
    hash = (hash ^ word) * 1099511628211u;
    hash ^= hash >> 32;  // high bits of a word reach the low bits of the hash
  }
  for (; at < data.size(); ++at) hash = (hash ^ data[at]) * 1099511628211u;
  return hash;
}

uint64_t token_bytes(uint64_t tokens) noexcept {
  return (tokens * 4 + 7) / 8 * 8;
}

// tokens is bounded by a cache's positions, so nothing here can overflow.
uint64_t saved_bytes(const HyperParameters& h, uint64_t tokens) noexcept {
  const uint64_t per_position = static_cast<uint64_t>(h.layers * h.kv_heads * h.head_dim) * 4;
  return sizeof(Header) + token_bytes(tokens) + tokens * per_position + 8;
}

// Calls body(number, steps between numbers, count) for every run of numbers of a page in file
// order: layer by layer, head by head the keys of its first positions, then their values.
template <class Number, class Body>
void each_run(Number* numbers, const HyperParameters& h, int64_t positions, Body&& body) {
  const int64_t half = kPagePositions * h.head_dim;
  for (int64_t block = 0; block < h.layers * h.kv_heads; ++block, numbers += 2 * half) {
    for (int64_t j = 0; j < positions; ++j) {
      body(numbers + key_place(j, 0, h.head_dim), key_place(0, 1, h.head_dim), h.head_dim);
    }
    body(numbers + half, int64_t{1}, positions * h.head_dim);
  }
}

int64_t positions_on(int64_t page, int64_t tokens) noexcept {
  return std::min(kPagePositions, tokens - page * kPagePositions);
}

}  // namespace

Status save_sequence(const KvCache& cache, const HyperParameters& hyper, uint64_t fingerprint,
                     int64_t sequence, uint8_t* buffer, uint64_t capacity, uint64_t* bytes) {
  if (!buffer && capacity > 0) {
    return Status::error(BITNET_E_ARGUMENT, "buffer is NULL but capacity is not 0");
  }
  const std::span<const int32_t> tokens = cache.tokens(sequence);
  const uint64_t needed = saved_bytes(hyper, tokens.size());
  if (capacity < needed) {
    *bytes = needed;
    return Status::error(BITNET_E_BUFFER, "the buffer has room for %llu bytes, needed are %llu",
                         static_cast<unsigned long long>(capacity),
                         static_cast<unsigned long long>(needed));
  }
  const Header header = {kMagic,
                         fingerprint,
                         static_cast<uint64_t>(hyper.layers),
                         static_cast<uint64_t>(hyper.kv_heads),
                         static_cast<uint64_t>(hyper.head_dim),
                         tokens.size()};
  uint8_t* at = buffer;
  std::memcpy(at, &header, sizeof header);
  at += sizeof header;
  std::memset(at, 0, token_bytes(tokens.size()));
  if (!tokens.empty()) std::memcpy(at, tokens.data(), tokens.size_bytes());
  at += token_bytes(tokens.size());
  Buffer numbers(static_cast<uint64_t>(cache.page_numbers()) * sizeof(uint16_t));
  int64_t index = 0;
  for (int32_t page : cache.pages(sequence)) {
    BITNET_TRY(cache.read_page(page, numbers.as<uint16_t>()));
    each_run(numbers.as<uint16_t>(), hyper,
             positions_on(index++, static_cast<int64_t>(tokens.size())),
             [&](const uint16_t* place, int64_t step, int64_t count) {
               for (int64_t i = 0; i < count; ++i, at += 2) std::memcpy(at, place + i * step, 2);
             });
  }
  const uint64_t checksum = checksum_of({buffer, static_cast<size_t>(at - buffer)});
  std::memcpy(at, &checksum, 8);
  *bytes = needed;
  return {};
}

Status load_sequence(KvCache& cache, const HyperParameters& hyper, uint64_t fingerprint,
                     int64_t sequence, std::span<const uint8_t> data) {
  Header header;
  if (data.size() < sizeof header + 8) {
    return Status::error(BITNET_E_FORMAT, "a saved sequence has at least %zu bytes, this has %zu",
                         sizeof header + 8, data.size());
  }
  std::memcpy(&header, data.data(), sizeof header);
  if (header.magic != kMagic) {
    return Status::error(BITNET_E_FORMAT, "this is no saved sequence: it begins with %016llx",
                         static_cast<unsigned long long>(header.magic));
  }
  uint64_t checksum;
  std::memcpy(&checksum, data.data() + data.size() - 8, 8);
  if (checksum != checksum_of(data.first(data.size() - 8))) {
    return Status::error(BITNET_E_FORMAT, "the saved sequence is damaged: its checksum is wrong");
  }
  if (header.fingerprint != fingerprint || header.layers != static_cast<uint64_t>(hyper.layers) ||
      header.kv_heads != static_cast<uint64_t>(hyper.kv_heads) ||
      header.head_dim != static_cast<uint64_t>(hyper.head_dim)) {
    return Status::error(
        BITNET_E_UNSUPPORTED,
        "the sequence was saved from model %016llx (or with other options), this is model "
        "%016llx",
        static_cast<unsigned long long>(header.fingerprint),
        static_cast<unsigned long long>(fingerprint));
  }
  if (header.tokens > static_cast<uint64_t>(std::min(cache.positions(), hyper.context))) {
    return Status::error(BITNET_E_CONTEXT_FULL,
                         "the saved sequence has %llu positions, the context has room for %lld",
                         static_cast<unsigned long long>(header.tokens),
                         static_cast<long long>(std::min(cache.positions(), hyper.context)));
  }
  if (data.size() != saved_bytes(hyper, header.tokens)) {
    return Status::error(
        BITNET_E_FORMAT, "a sequence of %llu tokens takes %llu bytes, this has %zu",
        static_cast<unsigned long long>(header.tokens),
        static_cast<unsigned long long>(saved_bytes(hyper, header.tokens)), data.size());
  }
  const uint8_t* at = data.data() + sizeof header;
  Vec<int32_t> tokens(header.tokens);
  if (!tokens.empty()) std::memcpy(tokens.data(), at, tokens.size() * 4);
  at += token_bytes(header.tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= hyper.vocab) {
      return Status::error(BITNET_E_FORMAT, "saved token %zu is %d, not in 0..%lld", i, tokens[i],
                           static_cast<long long>(hyper.vocab - 1));
    }
  }
  return cache.replace(sequence, tokens, [&](int64_t index, uint16_t* numbers) {
    each_run(numbers, hyper, positions_on(index, static_cast<int64_t>(tokens.size())),
             [&](uint16_t* place, int64_t step, int64_t count) {
               for (int64_t i = 0; i < count; ++i, at += 2) std::memcpy(place + i * step, at, 2);
             });
  });
}

}  // namespace bitnet
