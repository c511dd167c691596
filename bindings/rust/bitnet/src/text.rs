//! Text to tokens and back, and chat templates.
use std::ffi::CString;
use std::ptr;

use bitnet_sys as sys;

use crate::error::{call, Result};
use crate::handle::{c_string, filled, sized_text, slice, utf8};
use crate::model::Model;
use crate::numbers::flags;

flags! {
    /// What [`Model::tokenize`] does beyond splitting text.
    pub struct Tokenize {
        /// Nothing: for text that you do not trust, and that is no beginning.
        PLAIN = 0,
        /// Add what the model wants around a whole text, usually a begin token.
        SPECIAL = sys::BITNET_TOKENIZE_SPECIAL,
        /// Texts of control tokens (`<|eot_id|>`) become those tokens. Never for text you do not trust: it could end a
        /// turn or fake a role.
        PARSE = sys::BITNET_TOKENIZE_PARSE,
    }
}

flags! {
    /// How [`Model::detokenize`] and [`Model::piece`] treat control tokens.
    pub struct Detokenize {
        /// They have no text.
        PLAIN = 0,
        /// They are shown as their text.
        SPECIAL = sys::BITNET_DETOKENIZE_SPECIAL,
    }
}

/// One message of a conversation. Control tokens in its content are taken as plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// "system", "user" or "assistant".
    pub role: &'a str,
    /// What was said.
    pub content: &'a str,
}

impl<'a> Message<'a> {
    /// How the assistant should behave; comes first.
    pub fn system(content: &'a str) -> Self {
        Self { role: "system", content }
    }

    /// What the user said.
    pub fn user(content: &'a str) -> Self {
        Self { role: "user", content }
    }

    /// What the model replied.
    pub fn assistant(content: &'a str) -> Self {
        Self { role: "assistant", content }
    }
}

/// Messages and a template's name as C wants them; the contents are borrowed.
pub(crate) struct RawMessages<'a> {
    roles: Vec<CString>,
    template: Option<CString>,
    messages: &'a [Message<'a>],
}

impl<'a> RawMessages<'a> {
    pub(crate) fn new(messages: &'a [Message<'a>], template: Option<&str>) -> Result<Self> {
        let roles = messages.iter().map(|message| c_string("a message's role", message.role)).collect::<Result<_>>()?;
        let template = template.map(|name| c_string("the template's name", name)).transpose()?;
        Ok(Self { roles, template, messages })
    }

    pub(crate) fn raw(&self) -> Vec<sys::bitnet_message> {
        let message = |(role, message): (&CString, &Message<'_>)| {
            let (content, content_bytes) = sized_text(message.content);
            sys::bitnet_message { role: role.as_ptr(), content, content_bytes }
        };
        self.roles.iter().zip(self.messages).map(message).collect()
    }

    pub(crate) fn template(&self) -> *const std::os::raw::c_char {
        self.template.as_ref().map_or(ptr::null(), |name| name.as_ptr())
    }
}

impl Model {
    /// Text to tokens. Bytes that are not UTF-8 are encoded one by one where the vocabulary has them.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
    /// # let model = bitnet::Model::open(path)?;
    /// use bitnet::{Detokenize, Tokenize};
    /// let tokens = model.tokenize("Grüße!", Tokenize::PLAIN)?;
    /// assert_eq!(model.detokenize(&tokens, Detokenize::PLAIN)?, "Grüße!".as_bytes());
    /// # Ok::<(), bitnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): the text has 4 GiB or more.
    pub fn tokenize(&self, text: impl AsRef<[u8]>, how: Tokenize) -> Result<Vec<i32>> {
        let text = text.as_ref();
        // SAFETY: an open model, a text with its length, a buffer as large as stated.
        filled(|tokens, capacity, count, why| unsafe {
            let (first, bytes) = (text.as_ptr().cast(), text.len() as u64);
            sys::bitnet_tokenize(self.raw(), first, bytes, how.bits(), tokens, capacity, count, why)
        })
    }

    /// Tokens to text, as bytes: they may end inside a UTF-8 sequence when the tokens do. To show text as it comes use
    /// a [`Generator`](crate::Generator), which gives whole sequences only.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): a number is no token.
    pub fn detokenize(&self, tokens: &[i32], how: Detokenize) -> Result<Vec<u8>> {
        // SAFETY: an open model, tokens with their count, a buffer as large as stated.
        filled(|text: *mut u8, capacity, bytes, why| unsafe {
            let (first, count) = (tokens.as_ptr(), tokens.len() as u64);
            sys::bitnet_detokenize(self.raw(), first, count, how.bits(), text.cast(), capacity, bytes, why)
        })
    }

    /// The bytes one token stands for.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): the number is no token.
    pub fn piece(&self, token: i32, how: Detokenize) -> Result<&[u8]> {
        let (mut piece, mut bytes) = (ptr::null(), 0);
        // SAFETY: an open model, to which the piece belongs.
        unsafe {
            call(|why| sys::bitnet_token_piece(self.raw(), token, how.bits(), &mut piece, &mut bytes, why))?;
            Ok(slice(piece.cast(), bytes))
        }
    }

    /// Whether the token ends a reply: end of text, end of turn. `false` for numbers that are no tokens.
    pub fn is_end(&self, token: i32) -> bool {
        // SAFETY: an open model and any number.
        unsafe { sys::bitnet_token_is_end(self.raw(), token) != 0 }
    }

    /// Messages as the tokens of a prompt, up to where the assistant's reply begins.
    ///
    /// `template`: "bitnet", "llama-3", "falcon3" or "chatml"; `None`: the model's own.
    ///
    /// # Errors
    /// - [`Status::ARGUMENT`](crate::Status::ARGUMENT): another template, another role, no messages
    /// - [`Status::UNSUPPORTED`](crate::Status::UNSUPPORTED): the model has no template that is known, or its
    ///   vocabulary lacks the template's tokens
    pub fn chat_tokenize(&self, messages: &[Message<'_>], template: Option<&str>) -> Result<Vec<i32>> {
        let messages = RawMessages::new(messages, template)?;
        let raw = messages.raw();
        // SAFETY: an open model, messages with their count, a buffer as large as stated.
        filled(|tokens, capacity, count, why| unsafe {
            let (first, messages_count, name) = (raw.as_ptr(), raw.len() as u64, messages.template());
            sys::bitnet_chat_tokenize(self.raw(), first, messages_count, name, tokens, capacity, count, why)
        })
    }

    /// The same as text, to look at. To decode, use [`chat_tokenize`](Self::chat_tokenize): tokenizing this text is not
    /// the same when a content holds the text of control tokens.
    ///
    /// # Errors
    /// Those of [`chat_tokenize`](Self::chat_tokenize).
    pub fn chat_render(&self, messages: &[Message<'_>], template: Option<&str>) -> Result<String> {
        let messages = RawMessages::new(messages, template)?;
        let raw = messages.raw();
        // SAFETY: as above.
        filled(|text: *mut u8, capacity, bytes, why| unsafe {
            let (first, count, name) = (raw.as_ptr(), raw.len() as u64, messages.template());
            sys::bitnet_chat_render(self.raw(), first, count, name, text.cast(), capacity, bytes, why)
        })
        .map(utf8)
    }
}
