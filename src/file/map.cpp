// POSIX. Every failure names the path and what the system said.
#include "file/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstring>

namespace bitnet {
namespace {

// One read call asks for no more: Linux moves less than 2 GiB at a time.
constexpr size_t kReadAtOnce = size_t{1} << 30;

// What an errno means. strerror follows the locale and shares a buffer between threads.
struct Reason {
  char text[64];
  explicit Reason(int number) noexcept {
    const char* known = sentence(number);
    if (known) {
      std::snprintf(text, sizeof text, "%s", known);
    } else {
      std::snprintf(text, sizeof text, "system error %d", number);
    }
  }
  static const char* sentence(int number) noexcept {
    switch (number) {
      case ENOENT:
        return "no such file";
      case ENOTDIR:
        return "a part of the path is not a directory";
      case EACCES:
      case EPERM:
        return "permission denied";
      case EISDIR:
        return "is a directory";
      case ELOOP:
        return "too many symbolic links";
      case ENAMETOOLONG:
        return "the path is too long";
      case EMFILE:
      case ENFILE:
        return "too many open files";
      case ENOMEM:
        return "out of memory";
      case EIO:
        return "the device reports a read error";
      case ENXIO:
      case ENODEV:
        return "not a regular file";
      case EOVERFLOW:
        return "the file is too large for this system";
      default:
        return nullptr;
    }
  }
};

// A path for a message: the end of a long one, cut at a UTF-8 character.
struct ShownPath {
  char text[384];
  explicit ShownPath(const char* path) noexcept {
    size_t length = std::strlen(path);
    const char* cut = "";
    if (length > sizeof text - 8) {
      path += length - (sizeof text - 8);
      while ((static_cast<uint8_t>(*path) & 0xc0) == 0x80) ++path;
      cut = "...";
    }
    std::snprintf(text, sizeof text, "%s%s", cut, path);
  }
};

Status failure(const char* path, const char* action, int number) noexcept {
  const auto code = number == ENOMEM ? BITNET_E_MEMORY : BITNET_E_IO;
  return Status::error(code, "%s: cannot %s: %s", ShownPath(path).text, action,
                       Reason(number).text);
}

// An open file with its size: a regular file of at least one byte.
class Handle {
 public:
  explicit Handle(const char* path) noexcept : path_(path) {}
  ~Handle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Status open() noexcept {
    // O_NONBLOCK: opening a pipe must not wait for its other end. Regular files ignore it.
    do {
      descriptor_ = ::open(path_, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) return failure(path_, "open", errno);
    struct stat about;
    if (::fstat(descriptor_, &about) != 0) return failure(path_, "examine", errno);
    if (S_ISDIR(about.st_mode)) return failure(path_, "read", EISDIR);
    if (!S_ISREG(about.st_mode)) return failure(path_, "read", ENODEV);
    if (about.st_size == 0) {
      return Status::error(BITNET_E_FORMAT, "%s: the file is empty", ShownPath(path_).text);
    }
    if (static_cast<uint64_t>(about.st_size) > PTRDIFF_MAX) {
      return failure(path_, "read", EOVERFLOW);
    }
    bytes_ = static_cast<size_t>(about.st_size);
    return {};
  }

  Status read_all(uint8_t* to) const noexcept {
    for (size_t done = 0; done < bytes_;) {
      const size_t wanted = std::min(bytes_ - done, kReadAtOnce);
      const ssize_t got = ::pread(descriptor_, to + done, wanted, static_cast<off_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failure(path_, "read", errno);
      if (got == 0) {
        return Status::error(BITNET_E_IO,
                             "%s: ends after %zu bytes, it had %zu when it was opened: another "
                             "program changes it",
                             ShownPath(path_).text, done, bytes_);
      }
      done += static_cast<size_t>(got);
    }
    return {};
  }

  int descriptor() const noexcept { return descriptor_; }
  size_t bytes() const noexcept { return bytes_; }

 private:
  const char* path_;
  int descriptor_ = -1;
  size_t bytes_ = 0;
};

}  // namespace

Result<Mapping> Mapping::open(const char* path) {
  Handle file(path);
  BITNET_TRY(file.open());
  void* memory = ::mmap(nullptr, file.bytes(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (memory == MAP_FAILED) return failure(path, "map", errno);
  Mapping mapping;
  mapping.mapped_ = true;
  mapping.bytes_ = {static_cast<const uint8_t*>(memory), file.bytes()};
  return mapping;
}

Result<Mapping> Mapping::read(const char* path) {
  Handle file(path);
  BITNET_TRY(file.open());
  Mapping mapping;
  mapping.copy_ = Buffer(file.bytes());
  BITNET_TRY(file.read_all(mapping.copy_.data()));
  mapping.bytes_ = {mapping.copy_.data(), mapping.copy_.bytes()};
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept {
  *this = std::move(other);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(mapped_, other.mapped_);
  std::swap(copy_, other.copy_);
  return *this;
}

Mapping::~Mapping() {
  if (mapped_) ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

namespace {

// madvise takes whole pages. `outward`: the pages the part touches; else those it fills.
void advise(Bytes whole, Bytes part, int advice, bool outward) noexcept {
  if (part.empty()) return;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto base = static_cast<size_t>(part.data() - whole.data());
  const size_t end = base + part.size();
  const size_t first = (outward ? base : base + page - 1) / page * page;
  const size_t last = outward || end == whole.size() ? end : end / page * page;
  if (first < last) {
    ::madvise(const_cast<uint8_t*>(whole.data()) + first, last - first, advice);
  }
}

}  // namespace

void Mapping::advise_sequential() const noexcept {
  if (mapped_) advise(bytes_, bytes_, MADV_SEQUENTIAL, true);
}
void Mapping::advise_needed(Bytes part) const noexcept {
  if (mapped_) advise(bytes_, part, MADV_WILLNEED, true);
}
void Mapping::advise_done(Bytes part) const noexcept {
  if (mapped_) advise(bytes_, part, MADV_DONTNEED, false);
}

Result<Buffer> ByteSource::read() const {
  if (bytes == 0) return Status::error(BITNET_E_FORMAT, "byte source: the file is empty");
  if (bytes > PTRDIFF_MAX) {
    return Status::error(BITNET_E_MEMORY, "byte source: %" PRIu64 " bytes exceed the address space",
                         bytes);
  }
  Buffer buffer(static_cast<size_t>(bytes));
  for (uint64_t done = 0; done < bytes; done += kPiece) {
    const uint64_t piece = std::min(bytes - done, kPiece);
    const int error = read_at(user, done, buffer.data() + done, piece);
    if (error != 0) {
      return Status::error(BITNET_E_IO,
                           "byte source: reading %" PRIu64 " bytes at offset %" PRIu64
                           " of %" PRIu64 " failed, the callback returned %d",
                           piece, done, bytes, error);
    }
  }
  return buffer;
}

}  // namespace bitnet
