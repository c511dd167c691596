// The command line of one command: its options, their help, and where their values go.
//
//   Options options("run", "-p TEXT [options]", "Continues a text.", "bitnet run -p 'Once' -n 32");
//   options.value("-n", "N", &count, "stop after N tokens");
//   auto words = options.parse(arguments);  // nothing: --help was asked for and printed
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

using Arguments = std::span<char* const>;

// The command line is wrong: a sentence on stderr, exit 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Reads the whole of text into a number, or a list of numbers separated by commas or blanks;
// UsageError if it is anything else.
void read_value(std::string_view text, int32_t& value);
void read_value(std::string_view text, uint32_t& value);
void read_value(std::string_view text, uint64_t& value);
void read_value(std::string_view text, float& value);
void read_value(std::string_view text, std::vector<int32_t>& values);

class Options {
 public:
  // examples: lines, each a whole command.
  Options(std::string command, std::string form, std::string purpose, std::string examples);

  // names: one, or two as in "-m, --model".
  void flag(std::string names, bool* target, std::string help);
  void value(std::string names, std::string placeholder, std::string* target, std::string help);
  void value(std::string names, std::string placeholder, std::optional<std::string>* target,
             std::string help);
  // May be given more than once; each adds one.
  void values(std::string names, std::string placeholder, std::vector<std::string>* target,
              std::string help);
  template <class Number>
  void value(std::string names, std::string placeholder, Number* target, std::string help) {
    add(names, placeholder, help, [target](const std::string& text) { read_value(text, *target); });
  }

  // Sets the targets; returns the arguments that are no options. "--" ends the options.
  std::optional<std::vector<std::string>> parse(Arguments arguments);

 private:
  struct Option {
    std::string names, placeholder, help;
    std::function<void(const std::string&)> set;
    bool takes_value() const { return !placeholder.empty(); }
    bool is_called(std::string_view name) const;
  };
  void add(std::string names, std::string placeholder, std::string help,
           std::function<void(const std::string&)> set);
  const Option& find(std::string_view name) const;
  std::string help() const;

  std::string command_, form_, purpose_, examples_;
  std::vector<Option> options_;
};

// For commands that take no words: UsageError if there are any.
void refuse_words(const std::vector<std::string>& words);

}  // namespace cli
