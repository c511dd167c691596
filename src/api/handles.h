// What the opaque handles of bitnet.h are, and the one guard every call passes through.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <stdexcept>

#include "base/float_mode.h"
#include "base/memory.h"
#include "base/status.h"
#include "bitnet.h"
#include "forward/context.h"
#include "sample/sampler.h"
#include "session/generator.h"
#include "session/loaded_model.h"

// A counted model. Handles of the caller and open contexts each hold one count.
struct bitnet_model {
  explicit bitnet_model(bitnet::Ptr<const bitnet::LoadedModel> model) : loaded(std::move(model)) {}

  bitnet::Ptr<const bitnet::LoadedModel> loaded;
  // Terminated copies of the file's texts, for getters.
  bitnet::Vec<bitnet::String> keys, tensor_names, tensor_types;
  bitnet::String family, name;
  mutable std::atomic<uint32_t> users{1};

  void retain() const noexcept { users.fetch_add(1, std::memory_order_relaxed); }
  static void drop(const bitnet_model* model) noexcept {
    if (model && model->users.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      bitnet::Deleter()(model);
    }
  }
};

namespace bitnet {

struct DropModel {
  void operator()(const bitnet_model* model) const noexcept { bitnet_model::drop(model); }
};
using ModelClaim = std::unique_ptr<const bitnet_model, DropModel>;
inline ModelClaim claim(const bitnet_model* model) noexcept {
  model->retain();
  return ModelClaim(model);
}

}  // namespace bitnet

struct bitnet_ctx {
  bitnet::ModelClaim model;  // outlives the context below
  bitnet::Ptr<bitnet::Context> context;
};

struct bitnet_sampler {
  bitnet::Ptr<bitnet::Sampler> sampler;
};

struct bitnet_generator {
  bitnet::Ptr<bitnet::Generator> generator;
};

namespace bitnet {

void report(const Status& status, bitnet_error* why) noexcept;

// The text with U+FFFD for each part of it that is not UTF-8 (texts of a file may be anything).
String valid_utf8(std::string_view text);

// Runs a call's body: the one place where exceptions end and where a host's float mode is set
// aside.
template <class Body>
bitnet_status guarded(bitnet_error* why, Body&& body) noexcept {
  PlainFloatMode mode;
  Status status;
  try {
    status = body();
  } catch (const std::bad_alloc&) {
    status = Status::error(BITNET_E_MEMORY, "out of memory; nothing was done");
  } catch (const std::length_error&) {
    status =
        Status::error(BITNET_E_MEMORY, "something is larger than memory can be; nothing was done");
  } catch (...) {
    status = Status::error(BITNET_E_INTERNAL, "an unexpected exception: a defect of libbitnet");
  }
  if (status.code() < 0) report(status, why);
  return status.code();
}

inline Status argument_error(const char* what) noexcept {
  return Status::error(BITNET_E_ARGUMENT, "%s", what);
}

#define BITNET_REQUIRE(condition, text) \
  if (!(condition)) return ::bitnet::argument_error(text)

// The size a struct had when it first came out: what the oldest callers pass. Never changes; a
// struct that grows keeps its number here while sizeof grows.
template <class T>
constexpr uint32_t kFirstSize = 0;
template <>
inline constexpr uint32_t kFirstSize<bitnet_model_options> = 72;
template <>
inline constexpr uint32_t kFirstSize<bitnet_source> = 32;
template <>
inline constexpr uint32_t kFirstSize<bitnet_model_info> = 144;
template <>
inline constexpr uint32_t kFirstSize<bitnet_tensor_info> = 72;
template <>
inline constexpr uint32_t kFirstSize<bitnet_ctx_options> = 40;
template <>
inline constexpr uint32_t kFirstSize<bitnet_ctx_stats> = 88;
template <>
inline constexpr uint32_t kFirstSize<bitnet_estimate> = 48;
template <>
inline constexpr uint32_t kFirstSize<bitnet_sampler_options> = 56;
template <>
inline constexpr uint32_t kFirstSize<bitnet_generate_options> = 104;
template <>
inline constexpr uint32_t kFirstSize<bitnet_generate_info> = 56;
template <>
inline constexpr uint32_t kFirstSize<bitnet_machine_limits> = 32;
template <>
inline constexpr uint32_t kFirstSize<bitnet_device_info> = 696;

template <class T>
Status check_size(uint32_t size, const char* name) noexcept {
  static_assert(kFirstSize<T> > 0 && kFirstSize<T> <= sizeof(T));
  if (size >= kFirstSize<T>) return {};
  return Status::error(BITNET_E_ARGUMENT,
                       "%s.size is %u, the first version had %u: initialize it with its macro or "
                       "function",
                       name, size, kFirstSize<T>);
}

// Lays the caller's options over the defaults in *to. An older caller's struct is shorter: the rest
// keeps its defaults. A newer caller's is longer: fine as long as what we do not know is zero.
template <class T>
Status read_options(const T* from, T* to, const char* name) noexcept {
  if (!from) return {};
  uint32_t size;
  std::memcpy(&size, from, sizeof size);
  BITNET_TRY(check_size<T>(size, name));
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (uint32_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      return Status::error(
          BITNET_E_UNSUPPORTED,
          "%s has %u bytes and sets one beyond the %zu this library knows: it needs "
          "a newer libbitnet",
          name, size, sizeof(T));
    }
  }
  std::memcpy(to, from, std::min<size_t>(size, sizeof(T)));
  to->size = sizeof(T);
  return {};
}

// Fills as much of the caller's struct as it has and we know.
template <class T>
Status write_struct(const T& from, T* to, const char* name) noexcept {
  if (!to) return Status::error(BITNET_E_ARGUMENT, "%s is NULL", name);
  uint32_t size;
  std::memcpy(&size, to, sizeof size);
  BITNET_TRY(check_size<T>(size, name));
  T filled = from;
  filled.size = size;
  std::memcpy(to, &filled, std::min<size_t>(size, sizeof(T)));
  return {};
}

// Query-then-fill.
template <class T>
Status fill(std::span<const T> from, T* buffer, uint64_t capacity, uint64_t* needed,
            const char* unit) noexcept {
  if (!buffer && capacity > 0) return argument_error("buffer is NULL but capacity is not 0");
  *needed = from.size();
  if (capacity < from.size()) {
    return Status::error(BITNET_E_BUFFER, "the buffer has room for %llu %s, needed are %zu",
                         static_cast<unsigned long long>(capacity), unit, from.size());
  }
  if (!from.empty()) std::memcpy(buffer, from.data(), from.size_bytes());
  return {};
}

// Options of a context with the defaults put in; shared by opening and estimating.
Status context_options(const bitnet_ctx_options* from, const HyperParameters& hyper,
                       Context::Options* to) noexcept;
SamplerOptions sampler_options(const bitnet_sampler_options& from) noexcept;

}  // namespace bitnet
