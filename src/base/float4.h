// Four numbers side by side: every processor we know has these registers, and the compilers leave
// loops with comparisons scalar when they are not told.
#pragma once

#include <cstdint>
#include <cstring>

namespace bitnet {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));

template <class Vector, class T>
Vector load4(const T* from) noexcept {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class Vector, class T>
void store4(T* to, Vector v) noexcept {
  std::memcpy(to, &v, sizeof v);
}

}  // namespace bitnet
