// Messages to a prompt, by the chat templates of the published models. There is no Jinja engine: a
// file's template is recognized by what is particular to it, and an unknown one is refused.
// Source: design/formats.md sections 4.1, 4.3 to 4.5, 6.3.
#pragma once

#include <span>
#include <string_view>

#include "base/memory.h"
#include "base/status.h"
#include "model/model.h"
#include "tokens/tokenizer.h"

namespace bitnet {

// <x> is a control token; trim is Python's str.strip(), as in Jinja.
//
//   kBitnet   <bos> then "Role: " trim(content) <|eot_id|> ...               then "Assistant: "
//   kLlama3   <bos> then <|start_header_id|> role <|end_header_id|> "\n\n" trim(content) <|eot_id|>
//             ...         then <|start_header_id|> assistant <|end_header_id|> "\n\n"
//   kFalcon3  <|role|> "\n" content "\n" ..., an assistant's: <|assistant|> "\n" content <eos>,
//   "\n"
//             unless it is the last message                                  then <|assistant|>
//             "\n"
//   kChatml   <|im_start|> role "\n" content <|im_end|> "\n" ...   then <|im_start|> "assistant\n"
//
// The last two have <bos> in front if the tokenizer adds one to texts. "Role" is System, User or
// Assistant. Falcon3's role markers are plain text if the vocabulary has no such tokens.
enum class ChatTemplate : int32_t { kBitnet, kLlama3, kFalcon3, kChatml };

struct ChatMessage {
  std::string_view role;     // "system", "user" or "assistant"
  std::string_view content;  // UTF-8; what looks like a control token is plain text
};

// "bitnet", "llama-3", "falcon3", "chatml".
const char* chat_template_name(ChatTemplate chat) noexcept;
Result<ChatTemplate> chat_template_by_name(std::string_view name);

// The template that a file's Jinja text stands for; family: the architecture string.
// The placeholder (Human/BITNETAssistant) that Microsoft's converter writes into BitNet files
// stands for kBitnet, which is what these models were trained on. BITNET_E_UNSUPPORTED: none of
// ours.
Result<ChatTemplate> recognize_chat_template(std::string_view jinja, std::string_view family);

// The model's own template: by its Jinja text if it has one, else by family and vocabulary (base
// models have neither, hence BITNET_E_UNSUPPORTED).
Result<ChatTemplate> find_chat_template(std::string_view family, const Tokenizer& tokenizer);
Result<ChatTemplate> find_chat_template(const ModelDescription& model, const Tokenizer& tokenizer);

// Append the prompt up to where the assistant's reply begins: as text to look at, and as tokens.
//
// The tokens equal those of tokenizing the text (control tokens parsed, none added) as long as no
// content holds the text of one; where it does, the text stays text and cannot become a control
// token. <bos> comes exactly once. Fail with BITNET_E_ARGUMENT on no messages and on other roles,
// with BITNET_E_UNSUPPORTED on a vocabulary that lacks the template's tokens.
Status render_chat_text(ChatTemplate chat, const Tokenizer& tokenizer,
                        std::span<const ChatMessage> messages, String& out);
Status render_chat_tokens(ChatTemplate chat, const Tokenizer& tokenizer,
                          std::span<const ChatMessage> messages, Vec<int32_t>& out);

// Without whitespace at both ends: the characters of Python's str.strip().
std::string_view trim_whitespace(std::string_view text) noexcept;

}  // namespace bitnet
