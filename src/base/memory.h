// All memory of the library: mimalloc where it can be had, else the C library's allocator.
//
// Debian's libmimalloc.so also exports malloc and free, so linking it would replace the host's
// allocator. memory.cpp therefore opens it privately (RTLD_LOCAL) and uses its mi_* calls only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitnet {

// nullptr when there is no memory. alignment is a power of two. Thread-safe.
void* allocate(size_t bytes, size_t alignment = 16) noexcept;
void release(void* memory) noexcept;
// "mimalloc" or "libc": which of the two serves this process.
const char* allocator_name() noexcept;

template <class T>
struct Allocator {
  using value_type = T;
  Allocator() noexcept = default;
  template <class U>
  Allocator(const Allocator<U>&) noexcept {}  // NOLINT: required by the standard
  T* allocate(size_t n) {
    if (n > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    void* p = bitnet::allocate(n * sizeof(T), alignof(T) < 16 ? 16 : alignof(T));
    if (!p) throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, size_t) noexcept { bitnet::release(p); }
  template <class U>
  bool operator==(const Allocator<U>&) const noexcept {
    return true;
  }
};

template <class T>
using Vec = std::vector<T, Allocator<T>>;
using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;
template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
using Map = std::unordered_map<K, V, Hash, Equal, Allocator<std::pair<const K, V>>>;

struct Deleter {
  template <class T>
  void operator()(T* p) const noexcept {
    p->~T();
    release(const_cast<std::remove_const_t<T>*>(p));
  }
};
template <class T>
using Ptr = std::unique_ptr<T, Deleter>;

// new for our own objects. Throws std::bad_alloc.
template <class T, class... Args>
Ptr<T> make(Args&&... args) {
  void* p = allocate(sizeof(T), alignof(T) < 16 ? 16 : alignof(T));
  if (!p) throw std::bad_alloc();
  try {
    return Ptr<T>(::new (p) T(std::forward<Args>(args)...));
  } catch (...) {
    release(p);
    throw;
  }
}

// A block of bytes aligned to a cache line, not initialized; large ones ask for huge pages.
class Buffer {
 public:
  Buffer() noexcept = default;
  explicit Buffer(size_t bytes);  // throws std::bad_alloc
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer();

  uint8_t* data() noexcept { return data_; }
  const uint8_t* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return bytes_; }
  template <class T>
  T* as() noexcept {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const noexcept {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace bitnet
