#include "options.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "io.h"

namespace cli {
namespace {

template <class Number>
void read_number(std::string_view text, Number& value, const char* expected) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw UsageError("expected " + std::string(expected) + ", found '" + std::string(text) + "'");
  }
  value = number;
}

}  // namespace

void read_value(std::string_view text, int32_t& value) {
  read_number(text, value, "a whole number below 2^31");
}
void read_value(std::string_view text, uint32_t& value) {
  read_number(text, value, "a whole number from 0 to 2^32 - 1");
}
void read_value(std::string_view text, uint64_t& value) {
  read_number(text, value, "a whole number from 0 to 2^64 - 1");
}
void read_value(std::string_view text, float& value) {
  read_number(text, value, "a number");
}

void read_value(std::string_view text, std::vector<int32_t>& values) {
  constexpr std::string_view separators = ", \t\r\n";
  values.clear();
  for (size_t at = text.find_first_not_of(separators); at < text.size();) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    read_value(text.substr(at, end - at), values.emplace_back());
    at = text.find_first_not_of(separators, end);
  }
}

Options::Options(std::string command, std::string form, std::string purpose, std::string examples)
    : command_(std::move(command)),
      form_(std::move(form)),
      purpose_(std::move(purpose)),
      examples_(std::move(examples)) {}

bool Options::Option::is_called(std::string_view name) const {
  const size_t comma = names.find(", ");
  if (comma == std::string::npos) return name == names;
  return name == std::string_view(names).substr(0, comma) ||
         name == std::string_view(names).substr(comma + 2);
}

void Options::add(std::string names, std::string placeholder, std::string help,
                  std::function<void(const std::string&)> set) {
  options_.push_back({std::move(names), std::move(placeholder), std::move(help), std::move(set)});
}

void Options::flag(std::string names, bool* target, std::string help) {
  add(std::move(names), "", std::move(help), [target](const std::string&) { *target = true; });
}

void Options::value(std::string names, std::string placeholder, std::string* target,
                    std::string help) {
  add(std::move(names), std::move(placeholder), std::move(help),
      [target](const std::string& text) { *target = text; });
}

void Options::value(std::string names, std::string placeholder, std::optional<std::string>* target,
                    std::string help) {
  add(std::move(names), std::move(placeholder), std::move(help),
      [target](const std::string& text) { *target = text; });
}

void Options::values(std::string names, std::string placeholder, std::vector<std::string>* target,
                     std::string help) {
  add(std::move(names), std::move(placeholder), std::move(help),
      [target](const std::string& text) { target->push_back(text); });
}

const Options::Option& Options::find(std::string_view name) const {
  for (const Option& option : options_) {
    if (option.is_called(name)) return option;
  }
  throw UsageError("unknown option " + std::string(name));
}

std::optional<std::vector<std::string>> Options::parse(Arguments arguments) {
  std::vector<std::string> words;
  bool only_words = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    if (only_words || argument.size() < 2 || argument[0] != '-') {
      words.push_back(argument);
      continue;
    }
    if (argument == "--") {
      only_words = true;
      continue;
    }
    if (argument == "-h" || argument == "--help") {
      print(help());
      return std::nullopt;
    }
    // --name=value, or the value is the next argument, whatever it looks like.
    const size_t equals = argument.starts_with("--") ? argument.find('=') : std::string::npos;
    const std::string name = argument.substr(0, equals);
    const Option& option = find(name);
    std::string text;
    if (equals != std::string::npos) {
      if (!option.takes_value()) throw UsageError("option " + name + " takes no value");
      text = argument.substr(equals + 1);
    } else if (option.takes_value()) {
      if (++i == arguments.size()) throw UsageError("option " + name + " needs a value");
      text = arguments[i];
    }
    try {
      option.set(text);
    } catch (const UsageError& error) {
      throw UsageError("option " + name + ": " + error.what());
    }
  }
  return words;
}

std::string Options::help() const {
  constexpr size_t help_column = 26;
  std::string text =
      "usage: bitnet " + command_ + " " + form_ + "\n\n" + purpose_ + "\n\noptions:\n";
  for (const Option& option : options_) {
    std::string line = "  " + option.names + (option.takes_value() ? " " : "") + option.placeholder;
    // Names too long for the column get a line of their own.
    if (line.size() + 2 > help_column) {
      text += line + "\n";
      line.clear();
    }
    line.resize(help_column, ' ');
    text += line + option.help + "\n";
  }
  return text + "\nexamples:\n" + examples_;
}

void refuse_words(const std::vector<std::string>& words) {
  if (!words.empty()) throw UsageError("'" + words[0] + "' is not expected here");
}

}  // namespace cli
