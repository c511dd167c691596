// Every kernel of compute/cuda/ gives the bits of the reference verbs, on fresh random inputs, into
// poisoned memory, which shows what is written that should not be. Built with tests/cuda/emulator/
// it runs the kernels' own source on the host, a block's threads in several orders; built with the
// CUDA toolkit it runs on a device.
#include <cuda_runtime.h>

#include <functional>

#include "../compute/buffers.h"
#include "compute/angles.h"
#include "compute/cuda/attention.h"
#include "compute/cuda/dense.h"
#include "compute/cuda/rows.h"
#include "compute/cuda/screen.h"
#include "compute/cuda/select.h"
#include "compute/cuda/ternary.h"
#include "forward/attention.h"
#include "sample/gumbel.h"
#ifdef BITNET_EMULATED
#include "emulator.h"
#endif

namespace bitnet::cuda {
namespace {

using compute_test::Activations;
using compute_test::Numbers;
using compute_test::Source;
using compute_test::Ternary;

constexpr int kProcessors = 4;  // so that both ways to cut large products are taken

// n elements in the device's memory.
template <class T>
class There {
 public:
  explicit There(int64_t n) : There(std::vector<T>(size_t(n), poison())) {}
  explicit There(const std::vector<T>& from) : n_(from.size()) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), std::max<size_t>(n_, 1) * sizeof(T)),
              cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, from.data(), n_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  There(const T* from, int64_t n) : There(std::vector<T>(from, from + n)) {}
  There(const There&) = delete;
  There& operator=(const There&) = delete;
  ~There() { cudaFree(data_); }

  T* data() const { return data_; }
  std::vector<T> back() const {
    std::vector<T> to(n_);
    EXPECT_EQ(cudaMemcpy(to.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return to;
  }
  static T poison() {
    T t;
    std::memset(&t, 0xa5, sizeof t);
    return t;
  }

 private:
  size_t n_;
  T* data_ = nullptr;
};

std::vector<float> numbers(Source& source, int64_t n, Numbers kind) {
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = source.number(kind);
  return x;
}

// Equal bits, where NaN equals NaN.
template <class T>
void expect_same(const std::vector<T>& expected, const std::vector<T>& actual,
                 const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if constexpr (std::is_same_v<T, float>) {
      if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
    }
    ASSERT_EQ(std::memcmp(&expected[i], &actual[i], sizeof(T)), 0)
        << what << ", element " << i << ": expected " << expected[i] << ", got " << actual[i];
  }
}

class Kernels : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaDeviceGetAttribute(&shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
              cudaSuccess);
    for (const auto prepare :
         {prepare_ternary_kernels, prepare_dense_kernels, prepare_attention_kernels}) {
      ASSERT_EQ(prepare(shared_bytes_), cudaSuccess);
    }
  }
  // Launches by body(stream), and waits.
  template <class Body>
  void run(Body&& body) {
    Stream stream;
    stream.overlapping = true;
    stream.shared_bytes = shared_bytes_ - kStaticShared;
    stream.processors = kProcessors;
    body(stream);
    ASSERT_EQ(stream.error, cudaSuccess) << cudaGetErrorString(stream.error);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  // Each round with the block's threads in another order: a missing barrier changes what comes out.
  void next_order(int round) {
#ifdef BITNET_EMULATED
    emulator::set_order(static_cast<emulator::Order>(round % 3), uint64_t(round) + 1);
#else
    (void)round;
#endif
  }
  // What is selected of rows of logits.
  std::vector<Selected> selected_of(const DeviceSelection& selection, const There<float>& logits,
                                    int64_t stride, int64_t rows) {
    const There<SelectRoom> room(rows);
    const There<Selected> selected(rows);
    run([&](Stream& stream) {
      const float* known = logits.data();
      select_rows(stream,
                  {selection, known, known, stride, {}, nullptr, room.data(), selected.data()},
                  rows);
    });
    return selected.back();
  }
  void TearDown() override {
#ifdef BITNET_EMULATED
    emulator::set_order(emulator::kForward);
    EXPECT_EQ(emulator::live_allocations(), 0);
#endif
  }
  const Ops& reference_ = reference_ops();
  int shared_bytes_ = 0;
};

// ---- Ternary products --------------------------------------------------------------------------

// One way to call ternary_products, with its expected result.
struct TernaryCase {
  int64_t tokens, cols;
  std::vector<int64_t> rows;  // of each part
  Then then;
  bool norm_inside, gamma, relu2, scaled;
};

void check_ternary(Source& source, const TernaryCase& c, const Ops& ops,
                   const std::function<void(const TernaryJob&)>& go) {
  const float eps = 1e-5f;
  const int64_t padded = chunks_of(c.cols) * kChunkCols;
  std::vector<std::unique_ptr<Ternary>> maps;
  std::vector<std::unique_ptr<There<uint8_t>>> tiles;
  for (int64_t rows : c.rows) {
    maps.push_back(std::make_unique<Ternary>(rows, c.cols, source.usual()));
    maps.back()->randomize(source);
    std::vector<uint8_t> arranged(size_t(device_ternary_bytes(rows, c.cols)));
    arrange_tiles(arranged.data(), maps.back()->matrix, 0, (rows + 15) / 16);
    tiles.push_back(std::make_unique<There<uint8_t>>(arranged));
  }
  // The input, by the reference: normed and quantized, or quantized numbers as they come.
  Activations x(c.tokens, c.cols);
  std::vector<float> raw, gamma = numbers(source, c.cols, Numbers::kUsual), normed(size_t(c.cols));
  x.randomize(source);
  if (c.norm_inside) {
    raw = numbers(source, c.cols, source.up_to(1) ? Numbers::kUsual : Numbers::kEdge);
    normed = raw;
    if (c.gamma) ops.rmsnorm(normed.data(), raw.data(), gamma.data(), c.cols, eps);
    ops.quantize(x.q.data(), x.scale.data(), x.sum.data(), normed.data(), c.cols);
  }
  std::vector<int8_t> q(size_t(c.tokens * padded));
  for (int64_t t = 0; t < c.tokens; ++t)
    std::memcpy(q.data() + t * padded, x.q.data() + t * x.rows.stride, size_t(c.cols));
  const There<int8_t> q_there(q);
  const There<float> scale_there(x.scale.data(), c.tokens), raw_there(raw), gamma_there(gamma);
  const There<int32_t> sum_there(x.sum.data(), c.tokens);

  TernaryJob job = {};
  job.parts = int32_t(c.rows.size());
  job.cols = int32_t(c.cols);
  job.tokens = int32_t(c.tokens);
  job.then = c.then;
  job.relu2 = c.relu2;
  job.q = q_there.data();
  job.q_scale = scale_there.data();
  job.q_sum = sum_there.data();
  job.norm = {c.norm_inside ? raw_there.data() : nullptr, c.gamma ? gamma_there.data() : nullptr,
              int32_t(c.cols), eps};

  std::vector<std::vector<float>> expected;
  std::vector<std::unique_ptr<There<float>>> y;
  std::vector<uint8_t> scratch(size_t(ternary_scratch_bytes(c.cols)) + 64);
  auto* aligned =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
  for (size_t i = 0; i < c.rows.size(); ++i) {
    const int64_t rows = c.rows[i], stride = rows + source.up_to(3);
    std::vector<float> before(size_t(c.tokens * stride));
    for (float& v : before) v = c.then == Then::kAdd ? source.usual() : There<float>::poison();
    std::vector<float> product(before.size());
    ops.ternary_matmul(product.data(), stride, maps[i]->matrix, 0, rows, x.rows, c.tokens, aligned);
    const float output_scale = c.scaled ? 1.0f + source.usual() : 1.0f;
    for (int64_t t = 0; t < c.tokens; ++t) {
      float* row = product.data() + t * stride;
      if (c.scaled) ops.scale(row, output_scale, rows);
      if (c.then == Then::kAdd) {
        std::vector<float> sum(before.begin() + t * stride, before.begin() + t * stride + rows);
        ops.add(sum.data(), row, rows);
        std::copy(sum.begin(), sum.end(), row);
      }
      std::copy(before.begin() + t * stride + rows, before.begin() + (t + 1) * stride, row + rows);
    }
    y.push_back(std::make_unique<There<float>>(before));
    expected.push_back(product);
    job.part[i] = {tiles[i]->data(), int32_t(rows),    maps[i]->matrix.scale,
                   output_scale,     y.back()->data(), stride};
  }
  go(job);
  if (testing::Test::HasFatalFailure()) return;
  const std::string what =
      std::to_string(c.tokens) + " tokens, " + std::to_string(c.cols) + " columns, part ";
  if (c.then == Then::kGate) {  // part 0 has the gated numbers, part 1 is not written
    const int64_t rows = c.rows[0], gate_stride = job.part[0].y_stride,
                  up_stride = job.part[1].y_stride;
    for (int64_t t = 0; t < c.tokens; ++t) {
      float* gate = expected[0].data() + t * gate_stride;
      (c.relu2 ? ops.relu2_gate : ops.silu_gate)(gate, gate, expected[1].data() + t * up_stride,
                                                 rows);
    }
    expect_same(expected[0], y[0]->back(), what + "gate");
    return;
  }
  for (size_t i = 0; i < expected.size(); ++i)
    expect_same(expected[i], y[i]->back(), what + std::to_string(i));
}

TEST_F(Kernels, TernaryProducts) {
  Source source(11);
  int cases = 0;
  const auto go = [&](const TernaryJob& job) {
    next_order(cases++);
    run([&](Stream& stream) { ternary_products(stream, job); });
  };
  for (int64_t tokens : {1, 2, 7, 8, 9, 16, 17, 32, 33, 64, 65, 100, 128, 130, 257}) {
    for (const Then then : {Then::kStore, Then::kAdd, Then::kGate}) {
      const int64_t cols = tokens > 32 ? 64 * source.from(1, 6) : source.from(1, 700);
      const int64_t rows = source.from(1, 150);
      std::vector<int64_t> parts = {rows};
      if (then == Then::kGate) parts = {rows, rows};
      if (then == Then::kStore) parts = {rows, source.from(1, 40), source.from(1, 40)};
      const bool relu2 = source.up_to(1), scaled = source.up_to(1);
      check_ternary(source, {tokens, cols, parts, then, false, false, relu2, scaled}, reference_,
                    go);
      if (HasFatalFailure()) return;
      if (tokens > 1) continue;
      for (bool gamma : {true, false}) {
        check_ternary(source, {tokens, cols, parts, then, true, gamma, relu2, scaled}, reference_,
                      go);
        if (HasFatalFailure()) return;
      }
    }
  }
  // Long rows: more chunks than a warp has under way, more blocks of a sum than a warp has lanes.
  for (int64_t cols : {5000, 6912, 20011}) {
    check_ternary(source, {1, cols, {20}, Then::kStore, true, true, true, false}, reference_, go);
    if (HasFatalFailure()) return;
    check_ternary(source, {5, cols, {33}, Then::kAdd, false, false, true, true}, reference_, go);
    if (HasFatalFailure()) return;
  }
  check_ternary(source, {70, 2560, {48}, Then::kStore, false, false, true, false}, reference_, go);
  std::printf("ternary products: %d shapes equal the reference\n", cases);
}

// The largest sums there can be, in planes that keep their place in the byte.
TEST_F(Kernels, TernaryProductsCannotOverflow) {
  const int64_t cols = 131072 / 4, rows = 16;  // a quarter of kMaxTernaryCols: the emulator is slow
  for (int code : {0, 2}) {
    for (int value : {-128, 127}) {
      Ternary w(rows, cols, 1.0f);
      w.fill(code);
      Activations x(1, cols);
      for (int64_t c = 0; c < cols; ++c) x.q[c] = int8_t(value);
      x.scale[0] = 1.0f;
      x.add_up();
      std::vector<uint8_t> arranged(size_t(device_ternary_bytes(rows, cols)));
      arrange_tiles(arranged.data(), w.matrix, 0, 1);
      const There<uint8_t> tiles(arranged);
      const There<int8_t> q(x.q.data(), cols);
      const There<float> scale(x.scale.data(), 1), y(rows);
      const There<int32_t> sum(x.sum.data(), 1);
      TernaryJob job = {};
      job.part[0] = {tiles.data(), int32_t(rows), 1.0f, 1.0f, y.data(), rows};
      job.parts = 1;
      job.cols = int32_t(cols);
      job.tokens = 1;
      job.q = q.data();
      job.q_scale = scale.data();
      job.q_sum = sum.data();
      run([&](Stream& stream) { ternary_products(stream, job); });
      expect_same(std::vector<float>(size_t(rows), float((code - 1) * value * cols)), y.back(),
                  "extreme sum");
    }
  }
}

// ---- Dense products ----------------------------------------------------------------------------

std::vector<uint8_t> stored_numbers(Source& source, DenseType type, int64_t rows, int64_t row_bytes,
                                    Numbers kind) {
  std::vector<uint8_t> data(size_t(rows * row_bytes));
  if (type == DenseType::kF32) {
    for (size_t i = 0; i < data.size(); i += 4) {
      const float v = source.number(kind);
      std::memcpy(&data[i], &v, 4);
    }
  } else if (type == DenseType::kF16) {
    for (size_t i = 0; i < data.size(); i += 2) {
      const uint16_t h = source.half(kind);
      std::memcpy(&data[i], &h, 2);
    }
  } else if (type == DenseType::kBF16) {
    for (size_t i = 0; i < data.size(); i += 2) {
      const uint32_t bits = std::bit_cast<uint32_t>(source.number(kind));
      const auto upper = static_cast<uint16_t>(bits >> 16);
      std::memcpy(&data[i], &upper, 2);
    }
  } else {
    for (uint8_t& byte : data)
      byte = static_cast<uint8_t>(source.bits() & 0x3f);  // scales stay finite
  }
  return data;
}

TEST_F(Kernels, DenseProducts) {
  Source source(12);
  int cases = 0;
  for (DenseType type :
       {DenseType::kF32, DenseType::kF16, DenseType::kBF16, DenseType::kQ8_0, DenseType::kQ6_K}) {
    for (int64_t cols : {32, 250, 256, 257, 300, 512, 768, 1000, 2560, 4100, 8448}) {
      if (type == DenseType::kQ8_0) cols = (cols + 31) / 32 * 32;
      if (type == DenseType::kQ6_K) cols = (cols + 255) / 256 * 256;
      const int64_t rows = cols > 2000 ? 9 : source.from(1, 140),
                    tokens = cols > 2000 ? 1 + cases % 2 : source.from(1, 11);
      const Numbers kind = cases % 3 == 0 ? Numbers::kEdge : Numbers::kUsual;
      const int64_t row_bytes = dense_row_bytes(type, cols), x_stride = cols + source.up_to(5),
                    y_stride = rows + source.up_to(5);
      const std::vector<uint8_t> data = stored_numbers(source, type, rows, row_bytes, kind);
      const DenseMatrix w = {data.data(), type, rows, cols, row_bytes};
      std::vector<uint8_t> arranged(size_t(device_dense_bytes(type, rows, cols)));
      std::vector<float> floats(static_cast<size_t>(cols));
      arrange_rows(arranged.data(), w, 0, rows, floats.data());
      const There<uint8_t> there(arranged);
      const std::vector<float> x = numbers(source, tokens * x_stride, kind);
      const There<float> x_there(x);
      const bool add = cases % 2, scaled = source.up_to(1);
      std::vector<float> y(size_t(tokens * y_stride));
      for (float& v : y) v = add ? source.usual() : There<float>::poison();
      const There<float> y_there(y);
      const float output_scale = scaled ? 0.37f : 1.0f;
      std::vector<float> product(y.size());
      reference_.dense_matmul(product.data(), y_stride, w, 0, rows, x.data(), x_stride, tokens);
      for (int64_t t = 0; t < tokens; ++t) {
        if (scaled) reference_.scale(product.data() + t * y_stride, output_scale, rows);
        for (int64_t r = 0; r < rows; ++r) {
          float& to = y[size_t(t * y_stride + r)];
          to = add ? to + product[size_t(t * y_stride + r)] : product[size_t(t * y_stride + r)];
        }
      }
      next_order(cases++);
      const DeviceDense on_device = {there.data(), stored_as(type), int32_t(rows), int32_t(cols)};
      run([&](Stream& stream) {
        dense_product(stream, {on_device, x_there.data(), x_stride, y_there.data(), y_stride,
                               int32_t(tokens), output_scale, add});
      });
      const std::string what = "type " + std::to_string(int(type)) + ", " + std::to_string(rows) +
                               " x " + std::to_string(cols);
      expect_same(y, y_there.back(), what);
      if (HasFatalFailure()) return;

      // The same table looked up row by row.
      std::vector<int32_t> token(5);
      for (int32_t& t : token) t = int32_t(source.up_to(rows - 1));
      const There<int32_t> token_there(token);
      const There<float> rows_there(5 * cols);
      std::vector<float> expected(size_t(5 * cols));
      for (int64_t i = 0; i < 5; ++i)
        reference_.dense_row(expected.data() + i * cols, w, token[size_t(i)]);
      const There<float> cosine(5 * 3), sine(5 * 3);
      const There<int32_t> position(std::vector<int32_t>{0, 1, 4095, 131071, 77});
      const std::vector<double> frequencies = {1.0, 0.0123, 1e-5};
      const There<double> frequency(frequencies);
      run([&](Stream& stream) {
        embed(stream, on_device, token_there.data(), 5, rows_there.data(),
              {frequency.data(), 3, position.data(), cosine.data(), sine.data()});
      });
      expect_same(expected, rows_there.back(), what + ", looked up");
      std::vector<float> cosines, sines;
      for (int32_t p : position.back()) {
        for (double f : frequencies) {
          cosines.push_back(float(exact_cos(double(p) * f)));
          sines.push_back(float(exact_sin(double(p) * f)));
        }
      }
      expect_same(cosines, cosine.back(), "cosines of positions");
      expect_same(sines, sine.back(), "sines of positions");
      if (HasFatalFailure()) return;
    }
  }
  std::printf("dense products and look-ups: %d shapes equal the reference\n", cases);
}

// ---- Rows --------------------------------------------------------------------------------------

TEST_F(Kernels, NormsAndQuantization) {
  Source source(13);
  int cases = 0;
  for (int64_t n : {1, 15, 16, 17, 100, 255, 256, 257, 513, 2560, 6912, 9000}) {
    for (const Numbers kind : {Numbers::kUsual, Numbers::kEdge, Numbers::kBroken}) {
      const int64_t tokens = source.from(1, 5), stride = n + source.up_to(3),
                    padded = chunks_of(n) * kChunkCols;
      const bool has_gamma = source.up_to(2) != 0;
      const std::vector<float> x = numbers(source, tokens * stride, kind),
                               gamma = numbers(source, n, Numbers::kUsual);
      std::vector<int8_t> q(size_t(tokens * padded)), own(size_t(padded_cols(n)));
      std::vector<float> scale(static_cast<size_t>(tokens)), floats(size_t(tokens * n));
      std::vector<int32_t> sum(static_cast<size_t>(tokens));
      for (int64_t t = 0; t < tokens; ++t) {
        float* row = floats.data() + t * n;
        std::copy_n(x.data() + t * stride, n, row);
        if (has_gamma) reference_.rmsnorm(row, x.data() + t * stride, gamma.data(), n, 1e-6f);
        reference_.quantize(own.data(), &scale[size_t(t)], &sum[size_t(t)], row, n);
        std::copy_n(own.data(), n, q.data() + t * padded);
      }
      const There<float> x_there(x), gamma_there(gamma), scale_there(tokens),
          floats_there(tokens * n);
      const There<int8_t> q_there(tokens * padded);
      const There<int32_t> sum_there(tokens);
      const Normed row = {x_there.data(), has_gamma ? gamma_there.data() : nullptr, int32_t(n),
                          1e-6f};
      next_order(cases++);
      run([&](Stream& stream) {
        norm_rows(stream, row, stride, tokens,
                  {q_there.data(), scale_there.data(), sum_there.data(), int32_t(padded)},
                  floats_there.data());
      });
      const std::string what = std::to_string(n) + " numbers";
      expect_same(floats, floats_there.back(), what + ", normed");
      expect_same(scale, scale_there.back(), what + ", scale");
      expect_same(q, q_there.back(), what + ", quantized");
      expect_same(sum, sum_there.back(), what + ", sum");
      if (HasFatalFailure() || !has_gamma) continue;

      std::vector<int32_t> wanted;
      for (int64_t t = 0; t < tokens; t += 2) wanted.push_back(int32_t(t));
      std::vector<float> hidden;
      for (int32_t t : wanted)
        hidden.insert(hidden.end(), floats.begin() + t * n, floats.begin() + (t + 1) * n);
      const There<int32_t> wanted_there(wanted);
      const There<float> hidden_there(int64_t(hidden.size()));
      run([&](Stream& stream) {
        hidden_rows(stream, row, stride, wanted_there.data(), int64_t(wanted.size()),
                    hidden_there.data());
      });
      expect_same(hidden, hidden_there.back(), what + ", read out");
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(Kernels, Gates) {
  Source source(14);
  for (bool relu2 : {true, false}) {
    for (const Numbers kind : {Numbers::kUsual, Numbers::kEdge, Numbers::kBroken}) {
      std::vector<float> gate = numbers(source, 3 * 700, kind);
      const std::vector<float> up = numbers(source, 3 * 700, kind);
      const There<float> gate_there(gate), up_there(up);
      (relu2 ? reference_.relu2_gate : reference_.silu_gate)(gate.data(), gate.data(), up.data(),
                                                             3 * 700);
      run([&](Stream& stream) {
        gate_rows(stream, gate_there.data(), up_there.data(), 700, 3, relu2);
      });
      expect_same(gate, gate_there.back(), relu2 ? "relu2" : "silu");
    }
  }
}

// ---- Heads and what is picked from
// ---------------------------------------------------------------

// A dense matrix in the host's and in the device's memory, with a screened copy there.
struct Head {
  Head(Source& source, DenseType type, int64_t rows, int64_t cols, Numbers kind)
      : data(stored_numbers(source, type, rows, dense_row_bytes(type, cols), kind)),
        host{data.data(), type, rows, cols, dense_row_bytes(type, cols)},
        there(arranged()),
        tiles(screen_bytes(rows, cols)),
        residual(rows),
        norm(rows),
        device{there.data(), stored_as(type), int32_t(rows), int32_t(cols)},
        screen{tiles.data(), residual.data(), norm.data(), int32_t(rows), int32_t(cols)} {}

  std::vector<uint8_t> arranged() const {
    std::vector<uint8_t> out(size_t(device_dense_bytes(host.type, host.rows, host.cols)));
    std::vector<float> floats(static_cast<size_t>(host.cols));
    arrange_rows(out.data(), host, 0, host.rows, floats.data());
    return out;
  }
  // [tokens][rows]
  std::vector<float> logits(const Ops& ops, const std::vector<float>& hidden,
                            int64_t tokens) const {
    std::vector<float> y(size_t(tokens * host.rows));
    ops.dense_matmul(y.data(), host.rows, host, 0, host.rows, hidden.data(), host.cols, tokens);
    return y;
  }

  const std::vector<uint8_t> data;
  const DenseMatrix host;
  const There<uint8_t> there, tiles;
  const There<float> residual, norm;
  const DeviceDense device;
  const DeviceScreen screen;
};

// Hidden states: ordinary, with outliers, tiny, huge, zero, and if broken beyond what can be
// screened.
std::vector<float> hidden_states(Source& source, int64_t tokens, int64_t cols, bool broken) {
  std::vector<float> h(size_t(tokens * cols));
  for (int64_t t = 0; t < tokens; ++t) {
    static const float kSizes[] = {1, 1, 1, 30, 1e-12f, 1e15f, 0, 1e-22f};
    const float size = kSizes[source.up_to(broken ? 7 : 6)];
    for (int64_t c = 0; c < cols; ++c) h[size_t(t * cols + c)] = source.usual() * size;
    if (source.up_to(2) == 0) h[size_t(t * cols + source.up_to(cols - 1))] *= 200;
    static const float kBad[] = {INFINITY, NAN, 1e30f, -INFINITY};
    if (broken && source.up_to(2) == 0)
      h[size_t(t * cols + source.up_to(cols - 1))] = kBad[source.up_to(3)];
  }
  return h;
}

TEST_F(Kernels, ScreenedHeadsBoundEveryLogit) {
  Source source(15);
  int cases = 0;
  uint64_t bounded = 0, unknown = 0;
  double widest = 0;
  for (DenseType type : {DenseType::kF16, DenseType::kF32, DenseType::kBF16, DenseType::kQ6_K}) {
    for (int64_t cols : {32, 64, 100, 256, 300, 640, 2560}) {
      if (type == DenseType::kQ6_K) cols = (cols + 255) / 256 * 256;
      for (int64_t tokens : {int64_t{1}, int64_t{3}, source.from(8, 9), source.from(17, 70)}) {
        if (cols > 1000 && tokens > 8) continue;
        const bool broken = cases % 4 == 3;
        // Of many rows a warp has several tiles.
        const int64_t rows =
            cols == 64 && type == DenseType::kF16 ? source.from(1100, 1200) : source.from(1, 90);
        const int64_t stride = rows + source.up_to(3);
        const Head head(source, type, rows, cols,
                        broken           ? Numbers::kBroken
                        : cases % 4 == 1 ? Numbers::kEdge
                                         : Numbers::kUsual);
        const std::vector<float> hidden = hidden_states(source, tokens, cols, broken);
        const There<float> hidden_there(hidden), low(tokens * stride), high(tokens * stride);
        const There<uint8_t> input(screen_input_bytes(cols));
        const There<ScreenToken> token(kScreenTokens);
        next_order(cases++);
        run([&](Stream& stream) {
          make_screen(stream, head.device, head.screen);
          screen(stream, head.screen, hidden_there.data(), tokens, {input.data(), token.data()},
                 low.data(), high.data(), stride);
        });
        const std::vector<float> logits = head.logits(reference_, hidden, tokens),
                                 least = low.back(), most = high.back();
        const std::string what = "type " + std::to_string(int(type)) + ", " + std::to_string(rows) +
                                 " x " + std::to_string(cols);
        for (int64_t t = 0; t < tokens; ++t) {
          double sum = 0, squares = 0, width = 0;
          for (int64_t r = 0; r < rows; ++r) {
            const float logit = logits[size_t(t * rows + r)], l = least[size_t(t * stride + r)],
                        h = most[size_t(t * stride + r)];
            if (l == -INFINITY && h == INFINITY) {
              ++unknown;
              continue;
            }
            ++bounded;
            ASSERT_TRUE(l <= logit && logit <= h) << what << ", token " << t << ", row " << r
                                                  << ": " << l << " <= " << logit << " <= " << h;
            sum += double(logit);
            squares += double(logit) * double(logit);
            width = std::max(width, double(h) - double(l));
          }
          for (int64_t r = rows; r < stride; ++r) {
            ASSERT_EQ(std::bit_cast<uint32_t>(least[size_t(t * stride + r)]), 0xa5a5a5a5u) << what;
          }
          // Ordinary heads are told apart: else a bound of infinity would do.
          const double n = double(rows), deviation = std::sqrt(squares / n - sum * sum / n / n);
          if (cases % 4 == 1 && rows > 20 && type == DenseType::kF16 && deviation > 0)
            widest = std::max(widest, width / 2 / deviation);
        }
      }
    }
  }
  EXPECT_GT(bounded, 20000u);
  EXPECT_GT(unknown, 100u);
  EXPECT_LT(widest, 0.25);
  std::printf(
      "screened heads: %d shapes; %llu logits between their bounds, %llu without; the widest bound "
      "of an ordinary head is %.2f standard deviations\n",
      cases, static_cast<unsigned long long>(bounded), static_cast<unsigned long long>(unknown),
      widest);
}

// The tokens that a selection may not miss, by the sampler's own formulas in double.
std::vector<int32_t> needed(const DeviceSelection& s, const float* logits) {
  std::vector<int32_t> tokens, order(static_cast<size_t>(s.vocabulary));
  for (int32_t t = 0; t < s.vocabulary; ++t) order[size_t(t)] = t;
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (s.first > 0) {
    const float least = logits[order[std::min(size_t(s.first), order.size()) - 1]];
    for (int32_t t : order) {
      if (logits[t] >= least) tokens.push_back(t);
    }
    return tokens;
  }
  const double largest = double(logits[order[0]]);
  if (s.log_min_p > -INFINITY) tokens.push_back(order[0]);
  int32_t winner = -1;
  double best = 0;
  for (int32_t t = 0; t < s.vocabulary; ++t) {
    if (double(logits[t]) < largest + s.log_min_p) continue;
    const double score =
        double(logits[t]) / double(s.temperature) + gumbel_noise(s.seed, s.draw, t);
    if (winner >= 0 && score <= best) continue;
    winner = t;
    best = score;
  }
  tokens.push_back(winner);
  return tokens;
}

// Some rows of logits, or of bounds of theirs, and a selection.
void expect_selected(const DeviceSelection& selection, const float* logits,
                     const Selected& selected, const std::string& what) {
  std::vector<float> listed(size_t(selection.vocabulary), -1.0f);
  std::vector<bool> is_listed(listed.size());
  ASSERT_LE(selected.count, kDeviceSelected) << what;
  for (int32_t i = 0; i < selected.count; ++i) {
    const auto [token, logit] = selected.logit[i];
    ASSERT_TRUE(token >= 0 && token < selection.vocabulary) << what << ", token " << token;
    ASSERT_FALSE(is_listed[size_t(token)]) << what << ": token " << token << " is listed twice";
    is_listed[size_t(token)] = true;
    ASSERT_EQ(std::bit_cast<uint32_t>(logit), std::bit_cast<uint32_t>(logits[token]))
        << what << ", token " << token;
  }
  for (int32_t token : needed(selection, logits)) {
    ASSERT_TRUE(is_listed[size_t(token)])
        << what << ": token " << token << " of logit " << logits[token] << " is missing";
  }
}

TEST_F(Kernels, SelectionsHoldWhatAPickDependsOn) {
  Source source(16);
  int cases = 0;
  uint64_t listed[2] = {}, too_many[2] = {}, rows_of[2] = {};
  for (int round = 0; round < 36; ++round) {
    const int64_t cols = source.from(1, 8) * 64, rows = source.from(1, 4),
                  vocab = round % 3 == 0 ? source.from(1, 200) : source.from(500, 1500),
                  stride = vocab + source.up_to(5);
    const Head head(source, round % 2 ? DenseType::kF16 : DenseType::kBF16, vocab, cols,
                    Numbers::kUsual);
    std::vector<float> hidden = hidden_states(source, rows, cols, false);
    const float size = std::pow(10.0f, float(source.from(-2, 1)));
    for (float& v : hidden) v *= size;
    const std::vector<float> logits = head.logits(reference_, hidden, rows);
    const There<float> hidden_there(hidden), low(rows * stride), high(rows * stride);
    const There<uint8_t> input(screen_input_bytes(cols));
    const There<ScreenToken> token(kScreenTokens);
    const There<SelectRoom> room(rows);
    const There<Selected> selected(rows);
    DeviceSelection selection = {
        std::max<int64_t>(vocab - source.up_to(3), 1), 0, 1.0f, -INFINITY, 0, 0};
    static const int32_t kFirst[] = {1, 2, 40, 100, 0, 0, 0};
    selection.first = kFirst[source.up_to(6)];
    if (selection.first == 0) {
      static const float kTemperatures[] = {0.3f, 0.7f, 1.0f, 2.0f, 1e-4f, 1e4f};
      selection.temperature = kTemperatures[source.up_to(5)];
      if (source.up_to(1)) selection.log_min_p = std::log(source.up_to(1) ? 0.05 : 0.5);
      selection.seed = source.bits();
      selection.draw = source.bits();
    }
    for (const bool bounds : {false, true}) {
      next_order(cases++);
      run([&](Stream& stream) {
        if (bounds) {
          make_screen(stream, head.device, head.screen);
          screen(stream, head.screen, hidden_there.data(), rows, {input.data(), token.data()},
                 low.data(), high.data(), stride);
        } else {
          dense_product(stream, {head.device, hidden_there.data(), cols, low.data(), stride,
                                 int32_t(rows), 1.0f, false});
        }
        select_rows(stream,
                    {selection, low.data(), bounds ? high.data() : low.data(), stride, head.device,
                     hidden_there.data(), room.data(), selected.data()},
                    rows);
      });
      const std::vector<Selected> back = selected.back();
      for (int64_t r = 0; r < rows; ++r) {
        ++rows_of[bounds];
        if (back[size_t(r)].count > kDeviceSelected) {
          ++too_many[bounds];
          continue;
        }
        listed[bounds] += uint64_t(back[size_t(r)].count);
        expect_selected(selection, logits.data() + r * vocab, back[size_t(r)],
                        "round " + std::to_string(round) + ", row " + std::to_string(r) +
                            (bounds ? ", bounds" : ", logits"));
      }
      if (HasFatalFailure()) return;
    }
  }
  for (const bool bounds : {false, true}) {
    EXPECT_LT(too_many[bounds], rows_of[bounds] / 3);
    std::printf("selections of %s: %llu rows, %.1f tokens listed a row, %llu too long to list\n",
                bounds ? "bounds" : "logits", static_cast<unsigned long long>(rows_of[bounds]),
                double(listed[bounds]) / double(rows_of[bounds] - too_many[bounds]),
                static_cast<unsigned long long>(too_many[bounds]));
  }
}

// Draws whose winner is often one of the last that min_p keeps, or would be the next.
TEST_F(Kernels, SelectionsOfDraws) {
  Source source(18);
  const int64_t vocabulary = 300, rows = 4;
  uint64_t draws = 0, listed = 0;
  for (int round = 0; round < 100; ++round) {
    static const float kTemperatures[] = {0.5f, 1, 3, 10};
    static const double kMinP[] = {0, 0.05, 0.3, 0.7};
    const double min_p = kMinP[source.up_to(3)];
    const DeviceSelection selection = {vocabulary,
                                       0,
                                       kTemperatures[source.up_to(3)],
                                       min_p > 0 ? std::log(min_p) : double{-INFINITY},
                                       source.bits(),
                                       source.bits()};
    std::vector<float> logits = numbers(source, rows * vocabulary, Numbers::kUsual);
    const There<float> there(logits);
    next_order(round);
    const std::vector<Selected> back = selected_of(selection, there, vocabulary, rows);
    for (int64_t r = 0; r < rows; ++r) {
      expect_selected(selection, logits.data() + r * vocabulary, back[size_t(r)],
                      "round " + std::to_string(round) + ", row " + std::to_string(r));
      listed += uint64_t(back[size_t(r)].count);
      ++draws;
    }
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(listed, draws * 8);
  std::printf("draws: %llu, %.2f tokens listed each\n", static_cast<unsigned long long>(draws),
              double(listed) / double(draws));
}

// More than a block of threads looks at at once.
TEST_F(Kernels, SelectionsOfALargeVocabulary) {
  Source source(19);
  const int64_t vocabulary = 150000;
  const std::vector<float> logits = numbers(source, vocabulary, Numbers::kUsual);
  const There<float> there(logits);
  for (const DeviceSelection& selection : {DeviceSelection{vocabulary, 40, 1, 0, 0, 0},
                                           DeviceSelection{vocabulary, 0, 0.7f, -2, 3, 4}}) {
    const Selected back = selected_of(selection, there, vocabulary, 1)[0];
    EXPECT_LT(back.count, 80);
    expect_selected(selection, logits.data(), back, "first " + std::to_string(selection.first));
  }
}

// Logits as they are: ties, NaN, infinities.
TEST_F(Kernels, SelectionsOfOddLogits) {
  Source source(17);
  const int64_t vocabulary = 1000, stride = 1010, rows = 8;
  std::vector<float> logits(size_t(rows * stride));
  for (float& v : logits) v = float(source.up_to(400)) / 16 - 20.0f;
  const auto row = [&](int64_t r) { return logits.begin() + r * stride; };
  for (int64_t r = 0; r < rows; ++r) row(r)[vocabulary + 3] = 1e9f;  // beyond the vocabulary
  row(1)[777] = row(1)[778] = 100.0f;
  row(2)[5] = NAN;
  std::fill_n(row(3), vocabulary, -INFINITY);
  std::fill_n(row(4), vocabulary, -1.0f);
  row(4)[600] = -0.0f;
  row(4)[601] = 0.0f;
  row(5)[999] = INFINITY;
  std::fill_n(row(6), vocabulary, -INFINITY);
  row(6)[321] = -7.0f;
  std::fill_n(row(7), vocabulary, 3.0f);
  const There<float> there(logits);
  const auto select = [&](int32_t first, float temperature, double log_min_p) {
    return selected_of({vocabulary, first, temperature, log_min_p, 3, 4}, there, stride, rows);
  };
  const auto tokens = [](const Selected& s) {
    std::vector<int32_t> t;
    for (int32_t i = 0; i < std::min(s.count, kDeviceSelected); ++i) t.push_back(s.logit[i].token);
    std::sort(t.begin(), t.end());
    return t;
  };
  const auto has = [&](const Selected& s, int32_t token) {
    const std::vector<int32_t> t = tokens(s);
    return std::find(t.begin(), t.end(), token) != t.end();
  };
  using Tokens = std::vector<int32_t>;
  std::vector<Selected> found = select(1, 1.0f, -INFINITY);
  EXPECT_EQ(tokens(found[1]), (Tokens{777, 778}));
  EXPECT_TRUE(has(found[2], 5)) << "a NaN is listed";
  EXPECT_EQ(tokens(found[4]), (Tokens{600, 601}));
  EXPECT_EQ(tokens(found[5]), (Tokens{999}));
  EXPECT_EQ(tokens(found[6]), (Tokens{321}));
  for (int r : {3, 7}) EXPECT_GT(found[size_t(r)].count, kDeviceSelected) << "row " << r;
  for (const double log_min_p : {double{-INFINITY}, -3.0}) {
    found = select(0, 0.5f, log_min_p);
    for (int64_t r : {0, 1, 4, 6}) {
      const Selected& s = found[size_t(r)];
      if (s.count > kDeviceSelected) continue;
      expect_selected({vocabulary, 0, 0.5f, log_min_p, 3, 4}, &row(r)[0], s,
                      "row " + std::to_string(r));
    }
    EXPECT_LT(found[0].count, 40);
    EXPECT_TRUE(has(found[2], 5)) << "a NaN is listed";
    // Infinitely large: alone, or everything.
    EXPECT_TRUE(found[5].count > kDeviceSelected || has(found[5], 999));
    EXPECT_TRUE(found[3].count == 0 || found[3].count > kDeviceSelected);
  }
}

// ---- Attention ---------------------------------------------------------------------------------

struct Sequence {
  int64_t before, tokens;  // positions in the cache, and in the batch
};

int64_t pages_of(const Sequence& s) {
  return (s.before + s.tokens + kPagePositions - 1) / kPagePositions;
}

struct AttentionCase {
  int64_t heads, kv_heads, head_dim, rope_pairs;
  RopeStyle rope;
  std::vector<Sequence> sequences;
  int64_t group_pages, layers, part_groups;
};

// The same by verbs, one token and KV head after the other.
class ReferenceAttention {
 public:
  ReferenceAttention(const Ops& ops, const AttentionCase& c) : ops_(ops), c_(c) {}

  void store(std::vector<uint16_t>& cache, int32_t page, int64_t layer, int64_t position,
             const float* k, const float* v, const float* cosine, const float* sine) const {
    const int64_t d = c_.head_dim, slot = position % kPagePositions;
    std::vector<float> rotated(k, k + c_.kv_heads * d);
    ops_.rope(rotated.data(), c_.kv_heads, d, c_.rope_pairs, c_.rope, cosine, sine);
    std::vector<uint16_t> halves(rotated.size());
    ops_.to_half(halves.data(), rotated.data(), int64_t(rotated.size()));
    for (int64_t h = 0; h < c_.kv_heads; ++h) {
      uint16_t* block = cache.data() + block_at(page, layer, h);
      for (int64_t i = 0; i < d; ++i) block[key_place(slot, i, d)] = halves[size_t(h * d + i)];
      ops_.to_half(block + kPagePositions * d + slot * d, v + h * d, d);
    }
  }
  void attend(float* out, const std::vector<uint16_t>& cache, const int32_t* pages, int64_t layer,
              int64_t position, const float* q, const float* cosine, const float* sine,
              float scale) const {
    const int64_t d = c_.head_dim, per = c_.heads / c_.kv_heads;
    std::vector<float> rotated(q, q + c_.heads * d);
    ops_.rope(rotated.data(), c_.heads, d, c_.rope_pairs, c_.rope, cosine, sine);
    const int64_t last = position / kPagePositions;
    std::vector<float> memory(size_t(AttentionTree::floats(per, d, last + 1)));
    for (int64_t h = 0; h < c_.kv_heads; ++h) {
      AttentionTree tree(ops_, memory.data(), per, d);
      for (int64_t page = 0; page <= last; ++page) {
        const AttentionPart leaf = tree.next_leaf();
        const uint16_t* block = cache.data() + block_at(pages[page], layer, h);
        const int64_t count = page < last ? kPagePositions : position % kPagePositions + 1;
        ops_.attend_page(leaf.maximum, leaf.sum, leaf.value, rotated.data() + h * per * d, block,
                         block + kPagePositions * d, per, d, count, scale, nullptr);
        tree.leaf_filled();
      }
      const AttentionPart result = tree.result();
      for (int64_t i = 0; i < per; ++i) {
        ops_.attend_finish(out + (h * per + i) * d, result.sum + i, result.value + i * d, d);
      }
    }
  }

 private:
  int64_t block_at(int64_t page, int64_t layer, int64_t head) const {
    return ((page * c_.layers + layer) * c_.kv_heads + head) * 2 * kPagePositions * c_.head_dim;
  }
  const Ops& ops_;
  const AttentionCase& c_;
};

void check_attention(Source& source, const AttentionCase& c, const Ops& ops,
                     const std::function<void(const AttentionJob&)>& go) {
  const int64_t d = c.head_dim, layer = c.layers - 1;
  std::vector<int32_t> position, page_list, pages;
  int64_t longest = 0;
  for (const Sequence& s : c.sequences) {
    const auto first = int32_t(pages.size());
    const int64_t count = pages_of(s);
    longest = std::max(longest, count);
    for (int64_t i = 0; i < count; ++i) pages.push_back(int32_t(pages.size()));
    for (int64_t t = 0; t < s.tokens; ++t) {
      position.push_back(int32_t(s.before + t));
      page_list.push_back(first);
    }
  }
  const auto page_count = int64_t(pages.size()), tokens = int64_t(position.size());
  std::vector<int32_t> shuffled = pages;  // pages of a sequence lie anywhere
  for (size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[size_t(source.up_to(int64_t(i) - 1))]);
  pages = shuffled;

  std::vector<uint16_t> cache(size_t(page_count * c.layers * c.kv_heads * 2 * kPagePositions * d));
  for (uint16_t& h : cache) h = source.half(Numbers::kUsual);
  // What lies beyond a sequence's end must not matter, whatever it is: here it is no number at all.
  for (const Sequence& s : c.sequences) {
    const int64_t end = s.before + s.tokens, first = &s - c.sequences.data();
    int64_t list = 0;
    for (int64_t i = 0; i < first; ++i) list += pages_of(c.sequences[size_t(i)]);
    for (int64_t j = end; j % kPagePositions != 0; ++j) {
      const int64_t page = pages[size_t(list + j / kPagePositions)], blocks = c.layers * c.kv_heads;
      for (int64_t block = page * blocks; block < (page + 1) * blocks; ++block) {
        uint16_t* at = cache.data() + block * 2 * kPagePositions * d;
        for (int64_t i = 0; i < d; ++i) {
          at[key_place(j % kPagePositions, i, d)] = 0x7e00;
          at[(kPagePositions + j % kPagePositions) * d + i] = 0xfc00;
        }
      }
    }
  }
  std::vector<uint16_t> expected_cache = cache;
  const std::vector<float> q = numbers(source, tokens * c.heads * d, Numbers::kUsual);
  const std::vector<float> k = numbers(source, tokens * c.kv_heads * d, Numbers::kUsual);
  const std::vector<float> v = numbers(source, tokens * c.kv_heads * d, Numbers::kUsual);
  std::vector<float> cosine(size_t(tokens * c.rope_pairs)), sine(cosine.size());
  for (size_t i = 0; i < cosine.size(); ++i) {
    const float angle = source.usual() * 3;
    cosine[i] = std::cos(angle);
    sine[i] = std::sin(angle);
  }
  const float scale = 1.0f / std::sqrt(float(d));
  const ReferenceAttention reference(ops, c);
  for (int64_t t = 0; t < tokens; ++t) {
    reference.store(
        expected_cache, pages[size_t(page_list[size_t(t)] + position[size_t(t)] / kPagePositions)],
        layer, position[size_t(t)], k.data() + t * c.kv_heads * d, v.data() + t * c.kv_heads * d,
        cosine.data() + t * c.rope_pairs, sine.data() + t * c.rope_pairs);
  }
  std::vector<float> expected(size_t(tokens * c.heads * d));
  for (int64_t t = 0; t < tokens; ++t) {
    reference.attend(expected.data() + t * c.heads * d, expected_cache,
                     pages.data() + page_list[size_t(t)], layer, position[size_t(t)],
                     q.data() + t * c.heads * d, cosine.data() + t * c.rope_pairs,
                     sine.data() + t * c.rope_pairs, scale);
  }

  const AttentionShape shape(c.heads, c.kv_heads, d);
  std::vector<QueryBlock> blocks;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto page = int32_t(position[size_t(t)] / kPagePositions);
    if (!blocks.empty() && blocks.back().page_list == page_list[size_t(t)] &&
        blocks.back().page == page && blocks.back().tokens < shape.tokens) {
      ++blocks.back().tokens;
    } else {
      blocks.push_back({int32_t(t), 1, page, page_list[size_t(t)]});
    }
  }
  const int64_t groups = (longest + c.group_pages - 1) / c.group_pages + source.up_to(2);
  const There<float> q_there(q), k_there(k), v_there(v), cosine_there(cosine), sine_there(sine),
      out(tokens * c.heads * d);
  const int64_t part_groups = std::max(c.part_groups, groups);
  const There<float> parts(part_groups * attention_part_floats(c.heads, c.kv_heads, d));
  const There<uint16_t> cache_there(cache);
  const There<int32_t> position_there(position), page_list_there(page_list), pages_there(pages);
  const There<QueryBlock> blocks_there(blocks);
  const There<uint32_t> arrived(
      std::vector<uint32_t>(blocks.size() * size_t(c.kv_heads * shape.slices), 0));
  AttentionJob job = {};
  job.q = q_there.data();
  job.k = k_there.data();
  job.v = v_there.data();
  job.attended = out.data();
  job.cache = cache_there.data();
  job.position = position_there.data();
  job.page_list = page_list_there.data();
  job.pages = pages_there.data();
  job.blocks = blocks_there.data();
  job.cosine = cosine_there.data();
  job.sine = sine_there.data();
  job.tokens = int32_t(tokens);
  job.block_count = int32_t(blocks.size());
  job.heads = int32_t(c.heads);
  job.kv_heads = int32_t(c.kv_heads);
  job.head_dim = int32_t(d);
  job.rope_pairs = int32_t(c.rope_pairs);
  job.layers = int32_t(c.layers);
  job.layer = int32_t(layer);
  job.rope = c.rope;
  job.scale = scale;
  job.groups = int32_t(groups);
  job.group_pages = int32_t(c.group_pages);
  job.parts = parts.data();
  job.part_groups = part_groups;
  job.arrived = arrived.data();
  go(job);
  if (testing::Test::HasFatalFailure()) return;
  const std::string what = std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) +
                           " heads of " + std::to_string(d) + ", " + std::to_string(tokens) +
                           " tokens, groups of " + std::to_string(c.group_pages);
  expect_same(expected_cache, cache_there.back(), what + ": the cache");
  expect_same(expected, out.back(), what);
  expect_same(std::vector<uint32_t>(blocks.size() * size_t(c.kv_heads * shape.slices), 0),
              arrived.back(), what + ": tickets");
}

TEST_F(Kernels, Attention) {
  Source source(16);
  int cases = 0;
  const auto go = [&](const AttentionJob& job) {
    next_order(cases++);
    run([&](Stream& stream) { attend(stream, job); });
  };
  struct Heads {
    int64_t heads, kv_heads, head_dim, rope_pairs;
  };
  const Heads kHeads[] = {{20, 5, 128, 64}, {4, 2, 32, 16},  {8, 8, 64, 32}, {6, 2, 96, 40},
                          {3, 1, 256, 128}, {40, 1, 64, 32}, {4, 4, 18, 9},  {12, 2, 80, 40}};
  const std::vector<std::vector<Sequence>> kBatches = {
      {{0, 1}},           {{63, 1}}, {{64, 1}},   {{300, 1}},
      {{0, 5}},           {{60, 9}}, {{130, 20}}, {{0, 1}, {200, 1}, {70, 1}, {64, 1}},
      {{5, 12}, {127, 3}}};
  for (const Heads& h : kHeads) {
    for (const std::vector<Sequence>& batch : kBatches) {
      const int64_t group_pages = int64_t{1} << source.up_to(2);
      const RopeStyle rope = source.up_to(1) ? RopeStyle::kNeox : RopeStyle::kNorm;
      check_attention(source,
                      {h.heads, h.kv_heads, h.head_dim, h.rope_pairs, rope, batch, group_pages,
                       source.from(1, 2), source.up_to(20)},
                      reference_, go);
      if (HasFatalFailure()) return;
    }
  }
  // Many groups, and a last one that is not full, for one token and for a block of them; more
  // groups than are joined at once, with heads that leave little room for it.
  struct Long {
    int64_t heads, head_dim, before, tokens;
  };
  for (const Long& c :
       {Long{4, 32, 1475, 1}, {4, 32, 1475, 6}, {4, 32, 9000, 1}, {28, 18, 4500, 1}}) {
    for (int64_t group_pages : {1, 2, 4}) {
      check_attention(source,
                      {c.heads,
                       1,
                       c.head_dim,
                       c.head_dim / 2,
                       RopeStyle::kNeox,
                       {{c.before, c.tokens}},
                       group_pages,
                       1,
                       0},
                      reference_, go);
      if (HasFatalFailure()) return;
    }
  }
  std::printf("attention: %d batches equal the reference\n", cases);
}

}  // namespace
}  // namespace bitnet::cuda

// A machine without driver or device is no failure, but nothing was shown there either: 77 is what
// Meson counts as skipped. The emulator always has a device.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
#ifndef BITNET_EMULATED
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice) {
    return std::printf("skipped: no CUDA device: %s\n", cudaGetErrorString(error)), 77;
  }
#endif
  if (error != cudaSuccess || devices < 1) {
    return std::printf("FAILED: %d devices: %s\n", devices, cudaGetErrorString(error)), 1;
  }
  return RUN_ALL_TESTS();
}
