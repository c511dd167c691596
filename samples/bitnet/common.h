// What every command needs: handles that close themselves, failures as exceptions, the model and
// the context as the command line describes them.
//
// The library reports by status and sentence. A program with nothing to rescue can turn both into
// an exception at once (check) and let main print the sentence.
#pragma once

#include <bitnet.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io.h"
#include "options.h"

namespace cli {

inline void check(bitnet_status status, const bitnet_error& why) {
  if (status != BITNET_OK) throw Failure(why.message);
}

template <auto close>
struct Closer {
  void operator()(auto* handle) const { close(handle); }
};
using Model = std::unique_ptr<bitnet_model, Closer<bitnet_model_close>>;
using Context = std::unique_ptr<bitnet_ctx, Closer<bitnet_ctx_close>>;
using Sampler = std::unique_ptr<bitnet_sampler, Closer<bitnet_sampler_close>>;
using Generator = std::unique_ptr<bitnet_generator, Closer<bitnet_generate_close>>;

// The library's query-then-fill calls: asks for the size, makes room, calls again.
//   Container    std::string or std::vector
//   call         one such call: call(buffer, capacity, &size, &why)
//   terminators  what the library writes behind the size it tells
template <class Container, class Call>
Container query_then_fill(Call call, uint64_t terminators = 0) {
  bitnet_error why = BITNET_ERROR_INIT;
  uint64_t size = 0;
  Container result;
  bitnet_status status = call(nullptr, 0, &size, &why);
  if (status == BITNET_E_BUFFER) {
    result.resize(size + terminators);
    status = call(result.data(), result.size(), &size, &why);
  }
  check(status, why);
  result.resize(size);
  return result;
}

// A line on stderr that is drawn over and over, and is gone in the end; only on a terminal, and
// only when the work takes long.
class ProgressBar {
 public:
  explicit ProgressBar(const char* label) : label_(label) {}
  ~ProgressBar();
  void draw(double done);  // of 1.0

 private:
  const char* label_;
  const bool visible_ = is_terminal(Stream::error);
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool drawn_ = false;
};

// How to open a model and a context. Zero and empty mean the library's defaults.
struct Settings {
  std::string model;  // a path; empty: the model built into this program
  std::string isa, device, i2s_layout, activation, weights, head;
  bool strict = false, read = false;
  int32_t threads = 0;
  uint32_t positions = 0, sequences = 1, batch = 0;
};
void add_model_path(Options& options, Settings& settings);
void add_model_options(Options& options, Settings& settings);  // the path and how to open it
void add_threads(Options& options, Settings& settings);
void add_context_options(Options& options, Settings& settings);

// flags: BITNET_MODEL_... Shows a progress bar on a terminal when it takes long; warnings of the
// library become lines on stderr.
Model open_model(const Settings& settings, uint32_t flags = 0);
bitnet_model_info model_info(const bitnet_model* model);

Context open_context(const bitnet_model* model, const Settings& settings);
bitnet_ctx_stats context_stats(const bitnet_ctx* ctx);

// flags: BITNET_TOKENIZE_...
std::vector<int32_t> tokenize(const bitnet_model* model, std::string_view text, uint32_t flags);

}  // namespace cli
