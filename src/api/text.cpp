// Tokenizing, detokenizing, chat templates.
#include "api/handles.h"

using namespace bitnet;

namespace {

Status check_flags(uint32_t flags, uint32_t known) noexcept {
  if (flags & ~known)
    return Status::error(BITNET_E_ARGUMENT, "flags 0x%x is not allowed here", flags);
  return {};
}

// A row of the embedding table beyond the vocabulary: a token without text.
bool is_padding(const LoadedModel& model, int32_t token) noexcept {
  return token >= model.tokenizer().size() && token < model.description().hyper.vocab;
}

Status read_messages(const bitnet_message* messages, uint64_t count, Vec<ChatMessage>& out) {
  BITNET_REQUIRE(messages || count == 0, "messages is NULL");
  for (uint64_t i = 0; i < count; ++i) {
    if (!messages[i].role || !messages[i].content) {
      return Status::error(BITNET_E_ARGUMENT, "message %llu: role or content is NULL",
                           static_cast<unsigned long long>(i));
    }
    const uint64_t bytes = messages[i].content_bytes;
    out.push_back({messages[i].role, bytes > 0 ? std::string_view(messages[i].content, bytes)
                                               : std::string_view(messages[i].content)});
  }
  return {};
}

}  // namespace

namespace bitnet {

Result<ChatTemplate> template_of(const LoadedModel& model, const char* name) {
  if (name) return chat_template_by_name(name);
  if (model.chat_template()) return *model.chat_template();
  return find_chat_template(model.description(), model.tokenizer());  // for its sentence
}

Status chat_tokens(const LoadedModel& model, const bitnet_message* messages, uint64_t count,
                   const char* template_name, Vec<int32_t>& out) {
  Vec<ChatMessage> read;
  BITNET_TRY(read_messages(messages, count, read));
  BITNET_LET(const ChatTemplate chat, template_of(model, template_name));
  return render_chat_tokens(chat, model.tokenizer(), read, out);
}

}  // namespace bitnet

extern "C" {

bitnet_status bitnet_tokenize(const bitnet_model* model, const char* text, uint64_t bytes,
                              uint32_t flags, int32_t* tokens, uint64_t capacity, uint64_t* count,
                              bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(text || bytes == 0, "text is NULL");
    BITNET_REQUIRE(count, "count is NULL");
    BITNET_TRY(check_flags(flags, BITNET_TOKENIZE_SPECIAL | BITNET_TOKENIZE_PARSE));
    Vec<int32_t> out;
    BITNET_TRY(model->loaded->tokenizer().tokenize({text, bytes}, flags & BITNET_TOKENIZE_SPECIAL,
                                                   flags & BITNET_TOKENIZE_PARSE, out));
    return fill(std::span<const int32_t>(out), tokens, capacity, count, "tokens");
  });
}

bitnet_status bitnet_detokenize(const bitnet_model* model, const int32_t* tokens, uint64_t count,
                                uint32_t flags, char* text, uint64_t capacity, uint64_t* bytes,
                                bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(tokens || count == 0, "tokens is NULL");
    BITNET_REQUIRE(bytes, "bytes is NULL");
    BITNET_TRY(check_flags(flags, BITNET_DETOKENIZE_SPECIAL));
    Vec<int32_t> with_text;
    for (uint64_t i = 0; i < count; ++i) {
      if (!is_padding(*model->loaded, tokens[i])) with_text.push_back(tokens[i]);
    }
    String out;
    BITNET_TRY(
        model->loaded->tokenizer().detokenize(with_text, flags & BITNET_DETOKENIZE_SPECIAL, out));
    return fill(std::span<const char>(out), text, capacity, bytes, "bytes");
  });
}

bitnet_status bitnet_token_piece(const bitnet_model* model, int32_t token, uint32_t flags,
                                 const char** piece, uint64_t* bytes, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(piece && bytes, "piece or bytes is NULL");
    BITNET_TRY(check_flags(flags, BITNET_DETOKENIZE_SPECIAL));
    std::string_view text;
    if (!is_padding(*model->loaded, token)) {
      BITNET_LET(text, model->loaded->tokenizer().piece(token, flags & BITNET_DETOKENIZE_SPECIAL));
    }
    *piece = text.data() ? text.data() : "";
    *bytes = text.size();
    return {};
  });
}

int bitnet_token_is_end(const bitnet_model* model, int32_t token) {
  return model && model->loaded->tokenizer().is_end(token);
}

bitnet_status bitnet_chat_tokenize(const bitnet_model* model, const bitnet_message* messages,
                                   uint64_t message_count, const char* template_name,
                                   int32_t* tokens, uint64_t capacity, uint64_t* count,
                                   bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(count, "count is NULL");
    Vec<int32_t> out;
    BITNET_TRY(chat_tokens(*model->loaded, messages, message_count, template_name, out));
    return fill(std::span<const int32_t>(out), tokens, capacity, count, "tokens");
  });
}

bitnet_status bitnet_chat_render(const bitnet_model* model, const bitnet_message* messages,
                                 uint64_t message_count, const char* template_name, char* text,
                                 uint64_t capacity, uint64_t* bytes, bitnet_error* why) {
  return guarded(why, [&]() -> Status {
    BITNET_REQUIRE(model, "model is NULL");
    BITNET_REQUIRE(bytes, "bytes is NULL");
    Vec<ChatMessage> read;
    BITNET_TRY(read_messages(messages, message_count, read));
    BITNET_LET(const ChatTemplate chat, template_of(*model->loaded, template_name));
    String out;
    BITNET_TRY(render_chat_text(chat, model->loaded->tokenizer(), read, out));
    return fill(std::span<const char>(out), text, capacity, bytes, "bytes");
  });
}

}  // extern "C"
