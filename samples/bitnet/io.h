// Reading and writing with every failure noticed, and text made fit to be shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

// The work could not be done: "bitnet: <sentence>" on stderr, exit 1.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// Nobody reads our output any more (EPIPE): end without a word.
struct ReaderGone {};

// Standard output; throws Failure when it cannot be written (a full disk), ReaderGone when nobody
// reads.
void print(std::string_view text);
void flush();
// Standard error, where nothing can be done about a failure.
void note(std::string_view text);

enum class Stream { input = 0, output = 1, error = 2 };
bool is_terminal(Stream stream);

// The whole of a file, or of standard input where path is empty, byte for byte.
std::string read_file(const std::string& path);

// A file being written: every failure, up to that of the last byte in close(), names the path.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  void write(const void* data, size_t bytes);
  void close();

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
};

// What a stranger's file says, fit for a terminal: control characters and bytes that are not UTF-8
// become \xNN.
std::string printable(std::string_view text);
// What is not UTF-8 becomes U+FFFD.
std::string valid_utf8(std::string_view text);

std::string join(const std::vector<int32_t>& numbers, std::string_view between);

// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

}  // namespace cli
