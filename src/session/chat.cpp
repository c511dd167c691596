#include "session/chat.h"

#include <algorithm>

namespace bitnet {
namespace {

constexpr ChatTemplate kTemplates[] = {ChatTemplate::kBitnet, ChatTemplate::kLlama3,
                                       ChatTemplate::kFalcon3, ChatTemplate::kChatml};

bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}
bool is_bitnet(std::string_view family) noexcept {
  return family.starts_with("bitnet");
}

// str.isspace() of Python.
bool is_space(uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

// Bytes of the whitespace character at the start of text, 0 if there is none. Whitespace has at
// most three bytes.
size_t space_bytes(std::string_view text) noexcept {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
  };
  if (byte(0) < 0x80) return !text.empty() && is_space(byte(0)) ? 1 : 0;
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  if ((byte(0) & 0xe0) == 0xc0 && tail(1)) {
    return is_space((byte(0) & 0x1f) << 6 | (byte(1) & 0x3f)) ? 2 : 0;
  }
  if ((byte(0) & 0xf0) == 0xe0 && tail(1) && tail(2)) {
    return is_space((byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f)) ? 3 : 0;
  }
  return 0;
}

// Falcon3 ends a user's message with a line break, Zephyr, which has the same markers, with
// eos_token.
bool is_falcon3(std::string_view jinja) noexcept {
  constexpr std::string_view kUser = "<|user|>";
  const size_t user = jinja.find(kUser);
  if (user == std::string_view::npos || !contains(jinja, "<|assistant|>")) return false;
  const std::string_view after = jinja.substr(user + kUser.size());
  const std::string_view user_part = after.substr(0, after.find("<|"));
  return !contains(user_part, "eos_token") && !contains(user_part, "</s>") &&
         !contains(jinja, "<|end|>");
}

// One piece of a prompt.
struct Part {
  std::string_view text;
  int32_t token;  // -1: plain text
};

// Writes a template down once, for both kinds of output.
class Prompt {
 public:
  Prompt(ChatTemplate chat, const Tokenizer& tokenizer) noexcept
      : chat_(chat), tokenizer_(tokenizer) {}

  Status write(std::span<const ChatMessage> messages);
  std::span<const Part> parts() const noexcept { return parts_; }

 private:
  void text(std::string_view text) { parts_.push_back({text, -1}); }
  Status control(int32_t id, const char* name);
  Status control(std::string_view marker);
  Status marker_or_text(std::string_view marker);
  Status begin();
  Status message(const ChatMessage& m, bool last);
  Status reply();
  Status header(std::string_view role);

  ChatTemplate chat_;
  const Tokenizer& tokenizer_;
  Vec<Part> parts_;
};

Status Prompt::control(int32_t id, const char* name) {
  if (id < 0) {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "chat template %s needs a %s token, the vocabulary has none",
                         chat_template_name(chat_), name);
  }
  BITNET_LET(const std::string_view shown, tokenizer_.piece(id, true));
  parts_.push_back({shown, id});
  return {};
}

Status Prompt::control(std::string_view marker) {
  const int32_t id = tokenizer_.find(marker);
  if (id < 0) {
    return Status::error(BITNET_E_UNSUPPORTED,
                         "chat template %s needs the token %.*s, the vocabulary has none",
                         chat_template_name(chat_), static_cast<int>(marker.size()), marker.data());
  }
  parts_.push_back({marker, id});
  return {};
}

// A marker that tokenizing the text would make a token of, else plain text.
Status Prompt::marker_or_text(std::string_view marker) {
  Vec<int32_t> ids;
  BITNET_TRY(tokenizer_.tokenize(marker, false, true, ids));
  const int32_t id = tokenizer_.find(marker);
  const bool one = id >= 0 && ids.size() == 1 && ids[0] == id;
  parts_.push_back({marker, one ? id : -1});
  return {};
}

Status Prompt::begin() {
  const bool in_template = chat_ == ChatTemplate::kBitnet || chat_ == ChatTemplate::kLlama3;
  if (!in_template && !tokenizer_.add_bos()) return {};
  return control(tokenizer_.bos(), "beginning-of-text");
}

Status Prompt::header(std::string_view role) {
  BITNET_TRY(control("<|start_header_id|>"));
  text(role);
  BITNET_TRY(control("<|end_header_id|>"));
  text("\n\n");
  return {};
}

std::string_view capitalized(std::string_view role) noexcept {
  return role == "system" ? "System" : role == "user" ? "User" : "Assistant";
}
std::string_view falcon3_marker(std::string_view role) noexcept {
  return role == "system" ? "<|system|>" : role == "user" ? "<|user|>" : "<|assistant|>";
}

Status Prompt::message(const ChatMessage& m, bool last) {
  switch (chat_) {
    case ChatTemplate::kBitnet:
      text(capitalized(m.role));
      text(": ");
      text(trim_whitespace(m.content));
      return control("<|eot_id|>");
    case ChatTemplate::kLlama3:
      BITNET_TRY(header(m.role));
      text(trim_whitespace(m.content));
      return control("<|eot_id|>");
    case ChatTemplate::kFalcon3:
      BITNET_TRY(marker_or_text(falcon3_marker(m.role)));
      text("\n");
      text(m.content);
      if (m.role == "assistant") BITNET_TRY(control(tokenizer_.eos(), "end-of-text"));
      if (m.role != "assistant" || !last) text("\n");
      return {};
    case ChatTemplate::kChatml:
      BITNET_TRY(control("<|im_start|>"));
      text(m.role);
      text("\n");
      text(m.content);
      BITNET_TRY(control("<|im_end|>"));
      text("\n");
      return {};
  }
  return Status::error(BITNET_E_INTERNAL, "chat template %d", static_cast<int>(chat_));
}

// Where the assistant's reply begins.
Status Prompt::reply() {
  switch (chat_) {
    case ChatTemplate::kBitnet:
      text("Assistant: ");
      return {};
    case ChatTemplate::kLlama3:
      return header("assistant");
    case ChatTemplate::kFalcon3:
      BITNET_TRY(marker_or_text("<|assistant|>"));
      text("\n");
      return {};
    case ChatTemplate::kChatml:
      BITNET_TRY(control("<|im_start|>"));
      text("assistant\n");
      return {};
  }
  return Status::error(BITNET_E_INTERNAL, "chat template %d", static_cast<int>(chat_));
}

Status Prompt::write(std::span<const ChatMessage> messages) {
  if (messages.empty()) {
    return Status::error(BITNET_E_ARGUMENT, "there are no messages; one is the least");
  }
  BITNET_TRY(begin());
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string_view role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return Status::error(BITNET_E_ARGUMENT,
                           "message %zu: role is \"%.*s\", must be system, user or assistant", i,
                           static_cast<int>(std::min<size_t>(role.size(), 40)), role.data());
    }
    BITNET_TRY(message(messages[i], i + 1 == messages.size()));
  }
  return reply();
}

// Tokenizes runs of plain text so that none of the prompt's control tokens can come of them.
//
// parse_special = false keeps CONTROL tokens out. Files that mark them USER_DEFINED instead would
// still let them in: their texts are then cut after the first byte ('<') and the two parts
// tokenized apart.
class PlainText {
 public:
  PlainText(const Tokenizer& tokenizer, std::span<const Part> parts) noexcept
      : tokenizer_(tokenizer), parts_(parts) {}

  Status find_unprotected() {
    Vec<int32_t> ids;
    for (const Part& part : parts_) {
      if (part.token < 0) continue;
      ids.clear();
      BITNET_TRY(tokenizer_.tokenize(part.text, false, false, ids));
      if (ids.size() == 1 && ids[0] == part.token) unprotected_.push_back(part.text);
    }
    return {};
  }

  Status append(std::string_view run, Vec<int32_t>& out) const {
    while (!run.empty()) {
      size_t cut = run.size();
      for (const std::string_view marker : unprotected_) {
        const size_t at = run.find(marker);
        if (at != std::string_view::npos) cut = std::min(cut, at + 1);
      }
      BITNET_TRY(tokenizer_.tokenize(run.substr(0, cut), false, false, out));
      run.remove_prefix(cut);
    }
    return {};
  }

 private:
  const Tokenizer& tokenizer_;
  std::span<const Part> parts_;
  Vec<std::string_view> unprotected_;
};

}  // namespace

const char* chat_template_name(ChatTemplate chat) noexcept {
  switch (chat) {
    case ChatTemplate::kBitnet:
      return "bitnet";
    case ChatTemplate::kLlama3:
      return "llama-3";
    case ChatTemplate::kFalcon3:
      return "falcon3";
    case ChatTemplate::kChatml:
      return "chatml";
  }
  return "unknown";
}

Result<ChatTemplate> chat_template_by_name(std::string_view name) {
  for (const ChatTemplate chat : kTemplates) {
    if (name == chat_template_name(chat)) return chat;
  }
  return Status::error(
      BITNET_E_ARGUMENT,
      "chat template \"%.*s\" is not known; known are bitnet, llama-3, falcon3 and chatml",
      static_cast<int>(std::min<size_t>(name.size(), 40)), name.data());
}

Result<ChatTemplate> recognize_chat_template(std::string_view jinja, std::string_view family) {
  if (contains(jinja, "BITNETAssistant") && is_bitnet(family)) return ChatTemplate::kBitnet;
  if (contains(jinja, "<|start_header_id|>")) return ChatTemplate::kLlama3;
  if (contains(jinja, "<|im_start|>")) return ChatTemplate::kChatml;
  if (is_falcon3(jinja)) return ChatTemplate::kFalcon3;
  const bool named = contains(jinja, "'User: '") && contains(jinja, "Assistant: ");
  if (contains(jinja, "<|eot_id|>") && (named || contains(jinja, "capitalize"))) {
    return ChatTemplate::kBitnet;
  }
  return Status::error(
      BITNET_E_UNSUPPORTED,
      "the file's chat template (%zu bytes) is none of bitnet, llama-3, falcon3 and "
      "chatml; name one of them or build the prompt yourself",
      jinja.size());
}

Result<ChatTemplate> find_chat_template(std::string_view family, const Tokenizer& tokenizer) {
  const std::string_view jinja = tokenizer.chat_template();
  if (!jinja.empty()) return recognize_chat_template(jinja, family);
  const auto has = [&](std::string_view token) { return tokenizer.find(token) >= 0; };
  if (is_bitnet(family) && has("<|eot_id|>")) return ChatTemplate::kBitnet;
  if (has("<|start_header_id|>") && has("<|end_header_id|>") && has("<|eot_id|>")) {
    return ChatTemplate::kLlama3;
  }
  if (has("<|im_start|>") && has("<|im_end|>")) return ChatTemplate::kChatml;
  // Falcon3's vocabulary, the only one of this size with this end of text.
  if (tokenizer.size() == 131072 && tokenizer.find("<|endoftext|>") == 11) {
    return ChatTemplate::kFalcon3;
  }
  return Status::error(
      BITNET_E_UNSUPPORTED,
      "the file has no chat template and its vocabulary has no turn markers (a base "
      "model?); name a template or build the prompt yourself");
}

Result<ChatTemplate> find_chat_template(const ModelDescription& model, const Tokenizer& tokenizer) {
  return find_chat_template(model.family, tokenizer);
}

Status render_chat_text(ChatTemplate chat, const Tokenizer& tokenizer,
                        std::span<const ChatMessage> messages, String& out) {
  Prompt prompt(chat, tokenizer);
  BITNET_TRY(prompt.write(messages));
  for (const Part& part : prompt.parts()) out.append(part.text);
  return {};
}

// Text between two control tokens is tokenized in one go: "User: " and the first word of a content
// would make other tokens apart.
Status render_chat_tokens(ChatTemplate chat, const Tokenizer& tokenizer,
                          std::span<const ChatMessage> messages, Vec<int32_t>& out) {
  Prompt prompt(chat, tokenizer);
  BITNET_TRY(prompt.write(messages));
  PlainText plain(tokenizer, prompt.parts());
  BITNET_TRY(plain.find_unprotected());
  String run;
  for (const Part& part : prompt.parts()) {
    if (part.token < 0) {
      run.append(part.text);
      continue;
    }
    BITNET_TRY(plain.append(run, out));
    run.clear();
    out.push_back(part.token);
  }
  return plain.append(run, out);
}

std::string_view trim_whitespace(std::string_view text) noexcept {
  while (const size_t bytes = space_bytes(text)) text.remove_prefix(bytes);
  for (size_t bytes = 1; bytes <= std::min<size_t>(3, text.size());) {
    if (space_bytes(text.substr(text.size() - bytes)) == bytes) {
      text.remove_suffix(bytes);
      bytes = 1;
    } else {
      ++bytes;
    }
  }
  return text;
}

}  // namespace bitnet
