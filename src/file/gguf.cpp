// The GGUF parser: one cursor that cannot leave the file, and the checks of design/formats.md 1.3.
//
//   magic "GGUF" | u32 version | u64 n_tensors | u64 n_kv
//   n_kv      x  string key | u32 value type | value          string: u64 length, bytes
//   n_tensors x  string name | u32 dims | u64 shape[dims] | u32 type | u64 offset
//   padding to the alignment | tensor data, offsets count from here
#include "file/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "file/load.h"
#include "file/show.h"

namespace bitnet {

namespace {

constexpr uint64_t kHeaderBytes = 24;
constexpr uint64_t kMaxPairs = 1 << 16, kMaxTensors = 1 << 16;
constexpr uint64_t kSmallestPair = 8 + 1 + 4 + 1;            // key length, key, type, value
constexpr uint64_t kSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;  // name, dims, one extent, type, offset
constexpr uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 63;
constexpr uint64_t kMaxStringBytes = 64 << 20;
constexpr uint64_t kMaxArrayElements = 1 << 30;
constexpr uint32_t kTL1 = 38, kTL2In2024 = 39, kTL2In2026 = 42;
constexpr uint64_t kDefaultAlignment = 32, kSmallestAlignment = 8;

// Takes bytes off the front of the file. Compares with what remains, so no sum can wrap.
class Cursor {
 public:
  explicit Cursor(Bytes file) noexcept : file_(file) {}

  uint64_t position() const noexcept { return position_; }
  uint64_t remaining() const noexcept { return file_.size() - position_; }

  Status take(const char* place, uint64_t bytes, Bytes& out) noexcept {
    if (bytes > remaining()) {
      return Status::error(BITNET_E_FORMAT,
                           "%s: needs %" PRIu64 " bytes at offset %" PRIu64
                           ", the file has %" PRIu64 " left",
                           place, bytes, position_, remaining());
    }
    out = file_.subspan(static_cast<size_t>(position_), static_cast<size_t>(bytes));
    position_ += bytes;
    return {};
  }

  template <class T>
  Status number(const char* place, T& out) noexcept {
    Bytes bytes;
    BITNET_TRY(take(place, sizeof(T), bytes));
    out = load<T>(bytes.data());
    return {};
  }

  Status text(const char* place, uint64_t longest, std::string_view& out) noexcept {
    uint64_t length;
    BITNET_TRY(number(place, length));
    if (length > longest) {
      return Status::error(BITNET_E_FORMAT,
                           "%s: string of %" PRIu64 " bytes at offset %" PRIu64 ", at most %" PRIu64
                           " are allowed",
                           place, length, position_, longest);
    }
    Bytes bytes;
    BITNET_TRY(take(place, length, bytes));
    out = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return {};
  }

 private:
  Bytes file_;
  uint64_t position_ = 0;  // <= file_.size()
};

std::string_view name_of(const KeyValue& pair) noexcept {
  return pair.key;
}
std::string_view name_of(const TensorInfo& tensor) noexcept {
  return tensor.name;
}

// Positions of items in ascending order of name. Two of the same name are an error.
template <class Item>
Status sort_by_name(const char* kind, const Vec<Item>& items, Vec<uint32_t>& order) {
  order.resize(items.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return name_of(items[a]) < name_of(items[b]); });
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string_view name = name_of(items[order[i]]);
    if (name == name_of(items[order[i - 1]])) {
      return Status::error(BITNET_E_FORMAT, "%s %s: occurs twice, expected once", kind,
                           shown(name).text);
    }
  }
  return {};
}

template <class Item>
const Item* find_by_name(const Vec<Item>& items, const Vec<uint32_t>& order,
                         std::string_view name) noexcept {
  const auto at = std::lower_bound(
      order.begin(), order.end(), name,
      [&](uint32_t i, std::string_view wanted) { return name_of(items[i]) < wanted; });
  if (at == order.end() || name_of(items[*at]) != name) return nullptr;
  return &items[*at];
}

}  // namespace

// Fills a Gguf from the first byte to the last, in the order of the file.
class GgufParser {
 public:
  explicit GgufParser(Bytes file) noexcept : file_(file), cursor_(file) {}

  Result<Gguf> parse() {
    BITNET_TRY(header());
    BITNET_TRY(metadata());
    BITNET_TRY(whole_file());
    BITNET_TRY(tensor_infos());
    if (tensor_count_ > 0) BITNET_TRY(place_data());
    return std::move(gguf_);
  }

 private:
  Status header() noexcept {
    if (file_.size() < kHeaderBytes) {
      return Status::error(BITNET_E_FORMAT, "the file has %zu bytes, a GGUF header needs %" PRIu64,
                           file_.size(), kHeaderBytes);
    }
    Bytes magic;
    BITNET_TRY(cursor_.take("header", 4, magic));
    if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
      return Status::error(BITNET_E_FORMAT,
                           "not a GGUF file: it starts with %02x %02x %02x %02x, expected 47 47 55 "
                           "46 (\"GGUF\")",
                           magic[0], magic[1], magic[2], magic[3]);
    }
    BITNET_TRY(cursor_.number("header", gguf_.version_));
    BITNET_TRY(check_version());
    BITNET_TRY(cursor_.number("header", tensor_count_));
    BITNET_TRY(cursor_.number("header", pair_count_));
    BITNET_TRY(check_count("tensors", tensor_count_, kMaxTensors, kSmallestTensor));
    return check_count("metadata entries", pair_count_, kMaxPairs, kSmallestPair);
  }

  Status check_version() const noexcept {
    const uint32_t version = gguf_.version_;
    if (version == 2 || version == 3) return {};
    if (version != 0 && (version & 0xffff) == 0) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "big-endian GGUF (the version field reads 0x%08" PRIx32
                           "), expected little-endian",
                           version);
    }
    if (version == 1) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "GGUF version 1 (2023) is no longer read, expected 2 or 3: convert the "
                           "model again");
    }
    return Status::error(version == 0 ? BITNET_E_FORMAT : BITNET_E_UNSUPPORTED,
                         "GGUF version %" PRIu32 ", expected 2 or 3", version);
  }

  // A count is believed only as far as the rest of the file could hold that many: what is allocated
  // for it is a small multiple of the file's own size.
  Status check_count(const char* what, uint64_t count, uint64_t most,
                     uint64_t smallest) const noexcept {
    const uint64_t fits = std::min(most, cursor_.remaining() / smallest);
    if (count <= fits) return {};
    return Status::error(BITNET_E_FORMAT,
                         "header: %" PRIu64 " %s announced, a file of %zu bytes can have %" PRIu64,
                         count, what, file_.size(), fits);
  }

  // Names reach callers as terminated texts, so they have to be whole as such.
  static Status without_nul(const char* what, std::string_view name) {
    if (name.find('\0') == std::string_view::npos) return {};
    return Status::error(BITNET_E_FORMAT, "%s %s: has a zero byte in it", what, shown(name).text);
  }

  Status metadata() {
    gguf_.metadata_.reserve(static_cast<size_t>(pair_count_));
    for (uint64_t i = 0; i < pair_count_; ++i) {
      char place[48];
      std::snprintf(place, sizeof place, "metadata entry %" PRIu64, i);
      KeyValue pair;
      BITNET_TRY(cursor_.text(place, kMaxKeyBytes, pair.key));
      if (pair.key.empty()) {
        return Status::error(BITNET_E_FORMAT, "%s: its key is empty, expected a name", place);
      }
      BITNET_TRY(without_nul("metadata key", pair.key));
      BITNET_TRY(value(shown(pair.key).text, pair.value));
      gguf_.metadata_.push_back(pair);
    }
    return sort_by_name("metadata key", gguf_.metadata_, gguf_.key_order_);
  }

  Status value_type(const char* place, const char* what, ValueType& out) noexcept {
    uint32_t id;
    BITNET_TRY(cursor_.number(place, id));
    if (id > static_cast<uint32_t>(ValueType::kF64)) {
      return Status::error(BITNET_E_FORMAT, "%s: %s type %" PRIu32 ", expected 0 to 12", place,
                           what, id);
    }
    out = static_cast<ValueType>(id);
    return {};
  }

  Status value(const char* place, Value& out) noexcept {
    BITNET_TRY(value_type(place, "value", out.type));
    out.element = out.type;
    out.count = 1;
    if (out.type == ValueType::kArray) return array(place, out);
    if (out.type != ValueType::kString) {
      return cursor_.take(place, scalar_bytes(out.type), out.data);
    }
    std::string_view text;
    BITNET_TRY(cursor_.text(place, kMaxStringBytes, text));
    out.count = text.size();
    out.data = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
    return {};
  }

  Status array(const char* place, Value& out) noexcept {
    BITNET_TRY(value_type(place, "element", out.element));
    if (out.element == ValueType::kArray) {
      return Status::error(BITNET_E_FORMAT, "%s: array of arrays, expected an array of scalars",
                           place);
    }
    BITNET_TRY(cursor_.number(place, out.count));
    const bool strings = out.element == ValueType::kString;
    const uint64_t smallest = strings ? 8 : scalar_bytes(out.element);
    if (out.count > std::min(kMaxArrayElements, cursor_.remaining() / smallest)) {
      return Status::error(BITNET_E_FORMAT,
                           "%s: array of %" PRIu64 " %s, the file has %" PRIu64 " bytes left",
                           place, out.count, value_type_name(out.element), cursor_.remaining());
    }
    if (!strings) return cursor_.take(place, out.count * smallest, out.data);
    const uint64_t start = cursor_.position();
    std::string_view text;
    for (uint64_t i = 0; i < out.count; ++i) {
      BITNET_TRY(cursor_.text(place, kMaxStringBytes, text));
    }
    out.data =
        file_.subspan(static_cast<size_t>(start), static_cast<size_t>(cursor_.position() - start));
    return {};
  }

  Status whole_file() const {
    BITNET_LET(const auto parts, gguf_.integer("split.count", UINT16_MAX));
    if (parts && *parts > 1) {
      return Status::error(BITNET_E_UNSUPPORTED,
                           "this is one of %" PRIu64
                           " parts of a split GGUF, expected a whole file: merge the parts first",
                           *parts);
    }
    return {};
  }

  Status tensor_infos() {
    gguf_.tensors_.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      char place[48];
      std::snprintf(place, sizeof place, "tensor entry %" PRIu64, i);
      TensorInfo t;
      BITNET_TRY(cursor_.text(place, kMaxNameBytes, t.name));
      if (t.name.empty()) {
        return Status::error(BITNET_E_FORMAT, "%s: its name is empty, expected a name", place);
      }
      BITNET_TRY(without_nul("tensor", t.name));
      BITNET_TRY(tensor_info(shown(t.name).text, t));
      gguf_.tensors_.push_back(t);
    }
    return sort_by_name("tensor", gguf_.tensors_, gguf_.tensor_order_);
  }

  Status tensor_info(const char* place, TensorInfo& t) noexcept {
    BITNET_TRY(cursor_.number(place, t.dims));
    if (t.dims < 1 || t.dims > 4) {
      return Status::error(BITNET_E_FORMAT, "tensor %s: %" PRIu32 " dimensions, expected 1 to 4",
                           place, t.dims);
    }
    int64_t elements = 1;
    for (uint32_t d = 0; d < 4; ++d) {
      t.shape[d] = 1;
      if (d < t.dims) BITNET_TRY(cursor_.number(place, t.shape[d]));
      if (t.shape[d] == 0 || __builtin_mul_overflow(elements, t.shape[d], &elements)) {
        return Status::error(BITNET_E_FORMAT,
                             "tensor %s: shape %s, expected extents of 1 or more whose product is "
                             "below 2^63",
                             place, shown_shape(t.shape, d + 1).text);
      }
    }
    uint32_t type;
    BITNET_TRY(cursor_.number(place, type));
    t.type = static_cast<TensorType>(type);
    return cursor_.number(place, t.offset);
  }

  // TL1 and TL2 are laid out by parameters that are not in the file (formats.md 2.2, 2.3). Their
  // ids have other meanings in other programs: 39 and 42 mean TL2 in files of the BitNet families
  // only.
  Status refuse_lookup_tables(const TensorInfo& t) const {
    const auto id = static_cast<uint32_t>(t.type);
    const bool tl2 = id == kTL2In2024 || id == kTL2In2026;
    if (id != kTL1 && !tl2) return {};
    if (tl2) {
      BITNET_LET(const auto family, gguf_.text("general.architecture"));
      if (!family || !family->starts_with("bitnet")) return {};
    }
    return Status::error(BITNET_E_UNSUPPORTED,
                         "tensor %s: type %" PRIu32
                         " (%s, the lookup-table layout of one machine) is not supported yet, use "
                         "the I2_S file of this model",
                         shown(t.name).text, id, tl2 ? "TL2" : "TL1");
  }

  Result<uint64_t> alignment() const {
    const Value* value = gguf_.find("general.alignment");
    if (!value) return kDefaultAlignment;
    if (value->type != ValueType::kU32) {
      return Status::error(BITNET_E_FORMAT, "general.alignment: file has %s, expected u32",
                           value_type_name(value->type));
    }
    const auto bytes = load<uint32_t>(value->data.data());
    if (!std::has_single_bit(bytes) || bytes < kSmallestAlignment) {
      return Status::error(BITNET_E_FORMAT,
                           "general.alignment: file has %" PRIu32
                           ", expected a power of two of %" PRIu64 " or more",
                           bytes, kSmallestAlignment);
    }
    return static_cast<uint64_t>(bytes);
  }

  // Turns offsets within the data section into views of the file, none of which share a byte.
  Status place_data() {
    BITNET_LET(const uint64_t align, alignment());
    const uint64_t padding = (align - cursor_.position() % align) % align;
    if (padding > cursor_.remaining()) {
      return Status::error(BITNET_E_FORMAT,
                           "tensor data: starts at offset %" PRIu64 " (alignment %" PRIu64
                           "), the file has %zu bytes",
                           cursor_.position() + padding, align, file_.size());
    }
    const uint64_t start = cursor_.position() + padding;
    for (TensorInfo& t : gguf_.tensors_) BITNET_TRY(place(t, start, align));
    return check_overlap();
  }

  Status place(TensorInfo& t, uint64_t start, uint64_t align) {
    BITNET_TRY(refuse_lookup_tables(t));
    BITNET_LET(const uint64_t bytes, tensor_bytes(t));
    if (t.offset % align != 0) {
      return Status::error(BITNET_E_FORMAT,
                           "tensor %s: offset %" PRIu64 ", expected a multiple of %" PRIu64,
                           shown(t.name).text, t.offset, align);
    }
    const uint64_t section = file_.size() - start;
    if (t.offset > section || bytes > section - t.offset) {
      return Status::error(BITNET_E_FORMAT,
                           "tensor %s: %s %s needs %" PRIu64 " bytes at offset %" PRIu64
                           " of the tensor data, which has %" PRIu64,
                           shown(t.name).text, shown_type(t.type).text,
                           shown_shape(t.shape, t.dims).text, bytes, t.offset, section);
    }
    t.offset += start;
    t.data = file_.subspan(static_cast<size_t>(t.offset), static_cast<size_t>(bytes));
    return {};
  }

  Status check_overlap() const {
    Vec<const TensorInfo*> by_offset;
    by_offset.reserve(gguf_.tensors_.size());
    for (const TensorInfo& t : gguf_.tensors_) by_offset.push_back(&t);
    std::sort(by_offset.begin(), by_offset.end(),
              [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < by_offset.size(); ++i) {
      const TensorInfo& a = *by_offset[i - 1];
      const TensorInfo& b = *by_offset[i];
      if (a.data.size() > b.offset - a.offset) {
        return Status::error(BITNET_E_FORMAT,
                             "tensor %s: %s %s ends at offset %" PRIu64
                             ", expected no more than %" PRIu64 " where tensor %s starts",
                             shown(a.name).text, shown_type(a.type).text,
                             shown_shape(a.shape, a.dims).text, a.offset + a.data.size(), b.offset,
                             shown(b.name).text);
      }
    }
    return {};
  }

  Bytes file_;
  Cursor cursor_;
  uint64_t tensor_count_ = 0, pair_count_ = 0;
  Gguf gguf_;
};

Result<Gguf> Gguf::parse(Bytes file) {
  return GgufParser(file).parse();
}

const Value* Gguf::find(std::string_view key) const noexcept {
  const KeyValue* pair = find_by_name(metadata_, key_order_, key);
  return pair ? &pair->value : nullptr;
}

const TensorInfo* Gguf::find_tensor(std::string_view name) const noexcept {
  return find_by_name(tensors_, tensor_order_, name);
}

}  // namespace bitnet
