// The choice of a table: what the processor can run, by name, and no other.

#include <fstream>
#include <iterator>
#include <set>

#include "buffers.h"

namespace bitnet::compute_test {
namespace {

TEST(Select, EveryUsableIsaIsSelectableByItsName) {
  int count = 0;
  const char* const* names = usable_isas(&count);
  ASSERT_GE(count, 1);
  std::set<std::string> seen;
  for (int i = 0; i < count; ++i) {
    const Ops* ops = select_ops(names[i]);
    ASSERT_NE(ops, nullptr) << names[i];
    EXPECT_STREQ(ops->name, names[i]);
    EXPECT_TRUE(seen.insert(names[i]).second) << names[i] << " is listed twice";
  }
  EXPECT_EQ(names[count], nullptr);
  EXPECT_STREQ(names[0], "reference");
  EXPECT_EQ(usable_isas(nullptr), names);
}

TEST(Select, WithoutANameTheBest) {
  int count = 0;
  const char* const* names = usable_isas(&count);
  ASSERT_NE(select_ops(nullptr), nullptr);
  EXPECT_STREQ(select_ops(nullptr)->name, names[count - 1]);
  EXPECT_EQ(select_ops("reference"), &reference_ops());
}

TEST(Select, AnUnknownNameIsNullptr) {
  for (const char* name : {"", "avx", "AVX2", "avx512 ", "NEON", "no such processor"}) {
    EXPECT_EQ(select_ops(name), nullptr) << name;
  }
}

TEST(Select, WhatTheProcessorLacksIsNotOffered) {
#if defined(__x86_64__)
  // The compiler's own detection, which also asks the operating system.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
  EXPECT_NE(select_ops("baseline"), nullptr);
  EXPECT_EQ(select_ops("avx2") != nullptr, avx2);
  EXPECT_EQ(select_ops("avx512") != nullptr, avx512);
  EXPECT_EQ(select_ops("avx512vbmi") != nullptr,
            avx512 && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni"));
  EXPECT_EQ(select_ops("neon"), nullptr);
#elif defined(__aarch64__)
  // What the kernel writes for people to read.
  std::ifstream info("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(info), {});
  const bool described = text.find("\nFeatures") != std::string::npos;
  EXPECT_NE(select_ops("neon"), nullptr);
  EXPECT_EQ(select_ops("avx2"), nullptr);
  if (!described) return;  // under an emulator it is the host's
  EXPECT_EQ(select_ops("dotprod") != nullptr, text.find(" asimddp") != std::string::npos);
  EXPECT_EQ(select_ops("i8mm") != nullptr, text.find(" i8mm") != std::string::npos);
#endif
}

TEST(Select, NoVerbIsMissing) {
  for (const Ops* ops : usable_tables()) {
    const void* const* entries = reinterpret_cast<const void* const*>(ops);
    for (size_t i = 0; i < sizeof(Ops) / sizeof(void*); ++i) {
      EXPECT_NE(entries[i], nullptr) << ops->name << ", entry " << i;
    }
  }
}

}  // namespace
}  // namespace bitnet::compute_test
