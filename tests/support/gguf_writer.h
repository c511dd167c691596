// Writes GGUF files in memory for tests: valid by default, every field can be made wrong on
// purpose.
//
//   GgufWriter w;
//   w.text("general.architecture", "llama");
//   w.u32("llama.block_count", 2);
//   w.tensor("output_norm.weight", 0, {64}, floats_to_bytes(...));
//   std::vector<uint8_t> file = w.bytes();
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitnet::test {

using ByteVector = std::vector<uint8_t>;

template <class T>
void append(ByteVector& to, T value) {
  const size_t at = to.size();
  to.resize(at + sizeof value);
  std::memcpy(to.data() + at, &value, sizeof value);
}
inline void append(ByteVector& to, const std::string& text) {
  append<uint64_t>(to, text.size());
  to.insert(to.end(), text.begin(), text.end());
}

template <class T>
ByteVector bytes_of(const std::vector<T>& numbers) {
  ByteVector bytes(numbers.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

class GgufWriter {
 public:
  struct Pair {
    std::string key;
    uint32_t type;
    ByteVector value;
  };
  struct Tensor {
    std::string name;
    uint32_t type;  // formats.md 1.4
    std::vector<uint64_t> shape;
    ByteVector data;
    std::optional<uint64_t> offset;  // written instead of the true one
  };

  // Public to be bent by tests.
  uint32_t version = 3;
  uint64_t alignment = 32;
  std::optional<uint64_t> tensor_count, pair_count;  // written instead of the true ones
  std::vector<Pair> pairs;
  std::vector<Tensor> tensors;

  template <class T>
  void scalar(std::string key, uint32_t type, T value) {
    Pair pair{std::move(key), type, {}};
    append(pair.value, value);
    set(std::move(pair));
  }
  void u8(std::string key, uint8_t v) { scalar(std::move(key), 0, v); }
  void i8(std::string key, int8_t v) { scalar(std::move(key), 1, v); }
  void u16(std::string key, uint16_t v) { scalar(std::move(key), 2, v); }
  void i16(std::string key, int16_t v) { scalar(std::move(key), 3, v); }
  void u32(std::string key, uint32_t v) { scalar(std::move(key), 4, v); }
  void i32(std::string key, int32_t v) { scalar(std::move(key), 5, v); }
  void f32(std::string key, float v) { scalar(std::move(key), 6, v); }
  void boolean(std::string key, bool v) { scalar(std::move(key), 7, static_cast<uint8_t>(v)); }
  void text(std::string key, const std::string& v) { scalar(std::move(key), 8, v); }
  void u64(std::string key, uint64_t v) { scalar(std::move(key), 10, v); }
  void i64(std::string key, int64_t v) { scalar(std::move(key), 11, v); }
  void f64(std::string key, double v) { scalar(std::move(key), 12, v); }

  template <class T>
  void array(std::string key, uint32_t element, const std::vector<T>& values) {
    Pair pair{std::move(key), 9, {}};
    append(pair.value, element);
    append<uint64_t>(pair.value, values.size());
    for (const T& v : values) append(pair.value, v);
    set(std::move(pair));
  }
  void texts(std::string key, const std::vector<std::string>& v) { array(std::move(key), 8, v); }
  void reals(std::string key, const std::vector<float>& v) { array(std::move(key), 6, v); }
  void integers(std::string key, const std::vector<int32_t>& v) { array(std::move(key), 5, v); }

  // A key that is there already is replaced in place.
  void set(Pair pair) {
    if (Pair* old = find(pair.key)) {
      *old = std::move(pair);
    } else {
      pairs.push_back(std::move(pair));
    }
  }
  Pair* find(const std::string& key) {
    for (Pair& pair : pairs) {
      if (pair.key == key) return &pair;
    }
    return nullptr;
  }
  void erase(const std::string& key) {
    std::erase_if(pairs, [&](const Pair& pair) { return pair.key == key; });
  }

  // shape[0] is the row length. data must have the size the type's rule gives.
  void tensor(std::string name, uint32_t type, std::vector<uint64_t> shape, ByteVector data) {
    tensors.push_back({std::move(name), type, std::move(shape), std::move(data), {}});
  }
  Tensor* find_tensor(const std::string& name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  void erase_tensor(const std::string& name) {
    std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
  }

  // Everything before the tensor data: header, metadata, tensor infos, padding.
  ByteVector head() const {
    ByteVector file;
    for (const char c : {'G', 'G', 'U', 'F'}) append(file, c);
    append(file, version);
    append(file, tensor_count.value_or(tensors.size()));
    append(file, pair_count.value_or(pairs.size()));
    for (const Pair& pair : pairs) {
      append(file, pair.key);
      append(file, pair.type);
      file.insert(file.end(), pair.value.begin(), pair.value.end());
    }
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
      append(file, tensor.name);
      append(file, static_cast<uint32_t>(tensor.shape.size()));
      for (const uint64_t extent : tensor.shape) append(file, extent);
      append(file, tensor.type);
      append(file, tensor.offset.value_or(offset));
      offset = padded(offset + tensor.data.size());
    }
    if (!tensors.empty()) file.resize(padded(file.size()));
    return file;
  }

  ByteVector bytes() const {
    ByteVector file = head();
    const size_t start = file.size();
    for (const Tensor& tensor : tensors) {
      file.resize(start + padded(file.size() - start));
      file.insert(file.end(), tensor.data.begin(), tensor.data.end());
    }
    return file;
  }

 private:
  uint64_t padded(uint64_t bytes) const { return (bytes + alignment - 1) / alignment * alignment; }
};

}  // namespace bitnet::test
