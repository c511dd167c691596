// Finds: a self-check that lets a wrong kernel pass. Every verb is broken in turn.
#include "compute/self_check.h"

#include <gtest/gtest.h>

#include <cstring>

namespace bitnet {
namespace {

const Ops& good() {
  return reference_ops();
}

TEST(SelfCheck, AcceptsEveryTableOfThisMachine) {
  int count = 0;
  const char* const* names = usable_isas(&count);
  for (int i = 0; i < count; ++i) {
    const Status status = check_against_reference(*select_ops(names[i]));
    EXPECT_TRUE(status.ok()) << status.text();
  }
}

void expect_refused(const Ops& broken, const char* verb) {
  const Status status = check_against_reference(broken);
  EXPECT_EQ(status.code(), BITNET_E_INTERNAL) << verb;
  EXPECT_NE(std::strstr(status.text(), verb), nullptr) << status.text();
}

TEST(SelfCheck, RefusesATableWithOneWrongVerb) {
  Ops o = good();
  o.rmsnorm = [](float* y, const float* x, const float* g, int64_t n, float eps) noexcept {
    good().rmsnorm(y, x, g, n, eps * 2);
  };
  expect_refused(o, "rmsnorm");
  o = good();
  o.quantize = [](int8_t* q, float* s, int32_t* sum, const float* x, int64_t n) noexcept {
    good().quantize(q, s, sum, x, n);
    *sum += 1;
  };
  expect_refused(o, "quantize");
  o = good();
  o.ternary_matmul = [](float* y, int64_t ys, const TernaryMatrix& w, int64_t first, int64_t last,
                        const QuantizedRows& x, int64_t tokens, uint8_t* scratch) noexcept {
    good().ternary_matmul(y, ys, w, first, last, x, tokens, scratch);
    if (tokens > 1) y[ys + last - 1] = -y[ys + last - 1];
  };
  expect_refused(o, "ternary_matmul");
  o = good();
  o.screen_matmul = [](float* y, int64_t ys, const ScreenMatrix& w, int64_t first, int64_t last,
                       const ScreenInput& x, int64_t tokens) noexcept {
    good().screen_matmul(y, ys, w, first, last, x, tokens);
    if (tokens > 1) y[ys + last - 1] = -y[ys + last - 1];
  };
  expect_refused(o, "screen_matmul");
  o = good();
  o.screen_rest = [](float* y, const ScreenRest& w, const int32_t* rows, int64_t count,
                     const ScreenInput& x, int64_t token) noexcept {
    good().screen_rest(y, w, rows, count, x, token);
    y[count - 1] = -y[count - 1];
  };
  expect_refused(o, "screen_rest");
  o = good();
  o.dense_matmul = [](float* y, int64_t ys, const DenseMatrix& w, int64_t first, int64_t last,
                      const float* x, int64_t xs, int64_t tokens) noexcept {
    good().dense_matmul(y, ys, w, first, last, x, xs, tokens);
    if (w.type == DenseType::kQ6_K) y[0] += 1;
  };
  expect_refused(o, "dense_matmul");
  o = good();
  o.dense_row = [](float* y, const DenseMatrix& w, int64_t row) noexcept {
    good().dense_row(y, w, row ^ 1);
  };
  expect_refused(o, "dense_row");
  o = good();
  o.rope = [](float* x, int64_t heads, int64_t d, int64_t pairs, RopeStyle, const float* c,
              const float* s) noexcept { good().rope(x, heads, d, pairs, RopeStyle::kNeox, c, s); };
  expect_refused(o, "rope");
  o = good();
  o.to_half = [](uint16_t* y, const float* x, int64_t n) noexcept {
    good().to_half(y, x, n);
    y[n - 1] ^= 1;
  };
  expect_refused(o, "to_half");
  o = good();
  o.attend_page = [](float* m, float* s, float* v, const float* q, const uint16_t* k,
                     const uint16_t* values, int64_t queries, int64_t d, int64_t positions,
                     float scale, const uint16_t* next) noexcept {
    good().attend_page(m, s, v, q, k, values, queries, d, positions - 1, scale, next);
  };
  expect_refused(o, "attend_page");
  o = good();
  o.attend_join = [](float*, float*, float*, const float*, const float*, const float*,
                     int64_t) noexcept {};
  expect_refused(o, "_join");
  o = good();
  o.attend_finish = [](float* y, const float*, const float* v, int64_t n) noexcept {
    std::memcpy(y, v, static_cast<size_t>(n) * sizeof(float));
  };
  expect_refused(o, "_finish");
  o = good();
  o.relu2_gate = o.silu_gate;
  expect_refused(o, "relu2_gate");
  o = good();
  o.silu_gate = o.relu2_gate;
  expect_refused(o, "silu_gate");
  o = good();
  o.add = [](float*, const float*, int64_t) noexcept {};
  expect_refused(o, "add");
  o = good();
  o.scale = [](float*, float, int64_t) noexcept {};
  expect_refused(o, "scale");
}

}  // namespace
}  // namespace bitnet
