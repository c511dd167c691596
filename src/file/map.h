// A file as bytes: mapped, read into memory, or fetched through a caller's callback.
#pragma once

#include <cstdint>

#include "base/memory.h"
#include "base/status.h"
#include "file/gguf.h"

namespace bitnet {

// The bytes of one regular file, read-only. Moveable; the bytes stay where they are until it is
// destroyed. Safe to share between threads.
//
// open() maps: nothing is read until it is touched, and unchanged pages can be dropped by the
// system. The price: if another process truncates the file afterwards, touching a lost page raises
// SIGBUS, which no library can turn into a status. Hosts that cannot rule that out use read(),
// which copies the file into memory and sees a truncation as an error. Either way a program that
// rewrites the file in place may change what is read later: replace model files by renaming.
class Mapping {
 public:
  // path is UTF-8. The size is taken from the open handle, not from the directory.
  static Result<Mapping> open(const char* path);
  static Result<Mapping> read(const char* path);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  Bytes bytes() const noexcept { return bytes_; }

  // Hints for what comes next, without effect on a copy in memory. Errors do not matter and are not
  // told.
  void advise_sequential() const noexcept;        // one pass from front to back: read far ahead
  void advise_needed(Bytes part) const noexcept;  // start reading this part of bytes() now
  void advise_done(Bytes part) const noexcept;    // its pages may go, they can be read again

 private:
  Mapping() noexcept = default;
  Bytes bytes_;
  bool mapped_ = false;
  Buffer copy_;  // what bytes_ views when not mapped
};

// A file that only the caller can read: an archive member, a store of its own.
struct ByteSource {
  // Puts `bytes` bytes from `offset` into buffer. Returns 0, or the caller's error number.
  using ReadAt = int (*)(void* user, uint64_t offset, void* buffer, uint64_t bytes);
  ReadAt read_at;
  void* user;
  uint64_t bytes;  // of the whole file

  // All of it, in ascending pieces of at most kPiece bytes, on the calling thread.
  Result<Buffer> read() const;
  static constexpr uint64_t kPiece = 16 << 20;
};

}  // namespace bitnet
