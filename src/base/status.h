// The one channel for failure inside the library: a status code and a sentence.
//
// Status carries its text in place, so reporting a failure never allocates and never throws.
// api/ copies it into the caller's bitnet_error. Exceptions are not used for control flow;
// std::bad_alloc from our containers is the only one that may travel, and api/ catches it.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <new>
#include <optional>
#include <utility>

#include "bitnet.h"

namespace bitnet {

class [[nodiscard]] Status {
 public:
  Status() noexcept : code_(BITNET_OK) { text_[0] = 0; }

  // The text names the place and both sides: "blk.3.attn_q.weight: file has [2560, 2048], ...".
  [[gnu::format(printf, 2, 3)]] static Status error(bitnet_status code, const char* format,
                                                    ...) noexcept {
    Status s;
    s.code_ = code;
    va_list args;
    va_start(args, format);
    std::vsnprintf(s.text_, sizeof s.text_, format, args);
    va_end(args);
    return s;
  }

  bool ok() const noexcept { return code_ == BITNET_OK; }
  bitnet_status code() const noexcept { return code_; }
  const char* text() const noexcept { return text_; }

 private:
  bitnet_status code_;
  char text_[sizeof(bitnet_error::message)];
};

// A value or the reason there is none. T must be movable.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: meant to convert
  Result(Status status) : status_(std::move(status)) {}  // NOLINT

  bool ok() const noexcept { return value_.has_value(); }
  const Status& status() const noexcept { return status_; }
  T& value() noexcept { return *value_; }
  const T& value() const noexcept { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace bitnet

#define BITNET_CONCAT_(a, b) a##b
#define BITNET_CONCAT(a, b) BITNET_CONCAT_(a, b)

// BITNET_TRY(call()): passes a failed Status on to the caller.
#define BITNET_TRY(expression)                             \
  do {                                                     \
    ::bitnet::Status bitnet_try_status = (expression);     \
    if (!bitnet_try_status.ok()) return bitnet_try_status; \
  } while (0)

// BITNET_LET(auto x, call()): x is the value of a Result, or its Status is passed on.
#define BITNET_LET(declaration, expression) \
  BITNET_LET_(BITNET_CONCAT(bitnet_let_, __LINE__), declaration, expression)
#define BITNET_LET_(result, declaration, expression) \
  auto result = (expression);                        \
  if (!result.ok()) return result.status();          \
  declaration = std::move(result.value())
