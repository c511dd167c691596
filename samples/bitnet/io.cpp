#include "io.h"

#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

namespace cli {
namespace {

[[noreturn]] void fail_to_print(int reason) {
  if (reason == EPIPE) throw ReaderGone{};
  throw Failure(std::string("standard output: ") + std::strerror(reason));
}

// How many bytes the UTF-8 sequence at the start of text has; 0 if there is no valid one.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF.
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;
  if (byte(0) == 0xed && byte(1) > 0x9f) return 0;
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  if (byte(0) == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

// C0, DEL, and C1 (U+0080..U+009F), which a terminal may obey.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_to_print(errno);
}

void flush() {
  if (std::fflush(stdout) != 0) fail_to_print(errno);
}

void note(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool is_terminal(Stream stream) {
  return isatty(static_cast<int>(stream)) == 1;
}

std::string read_file(const std::string& path) {
  const std::string name = path.empty() ? "standard input" : path;
  std::FILE* file = path.empty() ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) throw Failure(name + ": " + std::strerror(errno));
  std::string bytes;
  char block[65536];
  size_t got = 0;
  while ((got = std::fread(block, 1, sizeof block, file)) > 0) bytes.append(block, got);
  const int reason = std::ferror(file) ? errno : 0;
  if (file != stdin) std::fclose(file);
  if (reason != 0) throw Failure(name + ": " + std::strerror(reason));
  return bytes;
}

OutputFile::OutputFile(const std::string& path)
    : path_(path), file_(std::fopen(path.c_str(), "wb")) {
  if (!file_) throw Failure(path_ + ": " + std::strerror(errno));
}

void OutputFile::write(const void* data, size_t bytes) {
  if (std::fwrite(data, 1, bytes, file_.get()) != bytes) {
    throw Failure(path_ + ": " + std::strerror(errno));
  }
}

void OutputFile::close() {
  if (std::fclose(file_.release()) != 0) throw Failure(path_ + ": " + std::strerror(errno));
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    if (length == 0 || is_control(character)) {
      for (char byte : character) result += format("\\x%02x", static_cast<unsigned char>(byte));
    } else {
      result += character;
    }
    text.remove_prefix(character.size());
  }
  return result;
}

std::string valid_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      result += "\xef\xbf\xbd";
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

std::string join(const std::vector<int32_t>& numbers, std::string_view between) {
  std::string text;
  for (int32_t number : numbers) {
    if (!text.empty()) text += between;
    text += std::to_string(number);
  }
  return text;
}

std::string format(const char* pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  va_end(arguments);
  return text;
}

}  // namespace cli
