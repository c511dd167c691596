//! Generating text: prompt or messages in, pieces of text out.
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::iter::FusedIterator;
use std::ptr;

use bitnet_sys as sys;

use crate::cancel::CancelHandle;
use crate::context::Context;
use crate::error::{call, Error, Result, Status};
use crate::handle::{c_string, sized_text, slice, Handle};
use crate::numbers::numbers;
use crate::sampler::Sampling;
use crate::text::{Message, RawMessages};

numbers! {
    /// Why a reply is over.
    pub struct EndReason: bitnet_end_reason {
        /// It is not over yet.
        NONE = BITNET_END_NONE,
        /// The model ended it.
        TOKEN = BITNET_END_TOKEN,
        /// A stop text came.
        STOP = BITNET_END_STOP,
        /// `max_tokens` were generated.
        LIMIT = BITNET_END_LIMIT,
        /// The context is full.
        CONTEXT = BITNET_END_CONTEXT,
    }
}

#[derive(Clone, Copy, Debug)]
enum Prompt<'a> {
    Text(&'a str),
    Messages(&'a [Message<'a>]),
    Tokens(&'a [i32]),
}

/// What to reply to, and how: given to [`Context::generate`].
///
/// ```
/// use bitnet::{Generate, Message, Sampling};
/// let messages = [Message::system("Answer in one word."), Message::user("What is the capital of France?")];
/// let options = Generate::messages(&messages).sampling(Sampling::new().temperature(0.7)).max_tokens(64).stop("\n");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Generate<'a> {
    prompt: Prompt<'a>,
    sequence: i32,
    template: Option<&'a str>,
    stop: Vec<&'a str>,
    max_tokens: u64,
    sampling: Sampling,
    flags: u32,
    drafts: i32,
}

impl<'a> Generate<'a> {
    fn new(prompt: Prompt<'a>) -> Self {
        Self {
            prompt,
            sequence: 0,
            template: None,
            stop: Vec::new(),
            max_tokens: 0,
            sampling: Sampling::new(),
            flags: 0,
            drafts: 0,
        }
    }

    /// Continues a text. Control tokens in it are parsed (you wrote it), and what the model wants before a text is
    /// added.
    pub fn prompt(text: &'a str) -> Self {
        Self::new(Prompt::Text(text))
    }

    /// Replies to messages, rendered by the chat template. Control tokens in them are plain text.
    pub fn messages(messages: &'a [Message<'a>]) -> Self {
        Self::new(Prompt::Messages(messages))
    }

    /// Continues tokens, as they are.
    pub fn tokens(tokens: &'a [i32]) -> Self {
        Self::new(Prompt::Tokens(tokens))
    }

    /// Which sequence of the context to use; 0 by default.
    pub fn sequence(mut self, sequence: i32) -> Self {
        self.sequence = sequence;
        self
    }

    /// The chat template for messages, by name, instead of the model's own.
    pub fn template(mut self, name: &'a str) -> Self {
        self.template = Some(name);
        self
    }

    /// Ends the reply before this text, which must not be empty. May be called for several.
    pub fn stop(mut self, text: &'a str) -> Self {
        self.stop.push(text);
        self
    }

    /// Ends the reply after this many tokens; 0, the default: when the reply or the context ends.
    pub fn max_tokens(mut self, count: u64) -> Self {
        self.max_tokens = count;
        self
    }

    /// How tokens are picked; greedily by default.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Where the reply repeats what was said, that many tokens are tried ahead, up to 63; 0, the default: as many as
    /// pay; -1: none. Changes speed, never a token.
    pub fn drafts(mut self, count: i32) -> Self {
        self.drafts = count;
        self
    }

    /// Tokens that end a reply do not (for measuring).
    pub fn ignore_end(self, on: bool) -> Self {
        self.flag(sys::BITNET_GENERATE_IGNORE_END, on)
    }

    /// Control tokens are shown as their text.
    pub fn show_special(self, on: bool) -> Self {
        self.flag(sys::BITNET_GENERATE_SPECIAL, on)
    }

    fn flag(mut self, flag: u32, on: bool) -> Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    fn open(&self, context: &mut Context) -> Result<Handle<sys::bitnet_generator>> {
        let messages = match self.prompt {
            Prompt::Messages(messages) => messages,
            _ => &[],
        };
        let messages = RawMessages::new(messages, self.template)?;
        let raw_messages = messages.raw();
        let stop = self.stop.iter().map(|text| c_string("a stop text", *text)).collect::<Result<Vec<CString>>>()?;
        let raw_stop: Vec<_> = stop.iter().map(|text| text.as_ptr()).collect();
        let bias = self.sampling.raw_bias();
        let sampling = self.sampling.raw(&bias);
        let mut options = sys::bitnet_generate_options {
            sequence: self.sequence,
            template_name: messages.template(),
            stop: raw_stop.as_ptr(),
            stop_count: raw_stop.len() as u64,
            max_tokens: self.max_tokens,
            sampling: &sampling,
            flags: self.flags,
            drafts: self.drafts,
            ..Default::default()
        };
        match self.prompt {
            Prompt::Text(text) => (options.prompt, options.prompt_bytes) = sized_text(text),
            Prompt::Messages(_) => {
                (options.messages, options.message_count) = (raw_messages.as_ptr(), raw_messages.len() as u64)
            }
            Prompt::Tokens(tokens) => (options.tokens, options.token_count) = (tokens.as_ptr(), tokens.len() as u64),
        }
        // The library forgets all requests up to the call's end; one that came after its beginning is meant for the new
        // reply, and renewed before Handle::open goes on with a panic.
        context.discard_cancel();
        let open = |generator: *mut *mut sys::bitnet_generator, why: *mut sys::bitnet_error| {
            // SAFETY: an open context; options and what they point to are copied.
            let status = unsafe { sys::bitnet_generate_open(context.raw(), &options, generator, why) };
            context.renew_cancel();
            status
        };
        Handle::open(open, sys::bitnet_generate_close)
    }
}

/// A generator that must not outlive its context, nor be used beside it: whoever has one sees to that.
type Raw = Handle<sys::bitnet_generator>;

fn next_piece<'g>(generator: &'g mut Raw, context: &mut Context) -> Result<Option<&'g str>> {
    let (mut piece, mut bytes) = (ptr::null(), 0);
    let raw = generator.get_mut();
    // SAFETY: an open generator of this context.
    let done = context.decoding(|_, why| unsafe { sys::bitnet_generate_next(raw, &mut piece, &mut bytes, why) })?;
    if done {
        return Ok(None);
    }
    // SAFETY: the piece lives until the generator's next call, which needs it mutably.
    let text = std::str::from_utf8(unsafe { slice(piece.cast(), bytes) });
    text.map(Some).map_err(|error| Error::new(Status::INTERNAL, format!("a piece of a reply is not UTF-8: {error}")))
}

fn info(generator: &Raw) -> Result<GenerateInfo<'_>> {
    let mut info = sys::bitnet_generate_info::default();
    // SAFETY: an open generator; its tokens live until its next call, which needs it mutably.
    unsafe {
        call(|why| sys::bitnet_generate_get_info(generator.get(), &mut info, why))?;
        Ok(GenerateInfo {
            end_reason: EndReason::from_number(info.end_reason),
            tokens: slice(info.tokens, info.token_count),
            prompt_tokens: info.prompt_tokens,
            reused_tokens: info.reused_tokens,
            prompt_seconds: info.prompt_seconds,
            decode_seconds: info.decode_seconds,
            drafted_tokens: info.drafted_tokens,
            accepted_tokens: info.accepted_tokens,
        })
    }
}

/// A reply as it comes, piece by piece: as an [`Iterator`] of strings, or by [`next_piece`](Self::next_piece) without
/// copies.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// use bitnet::{Context, Generate, Message, Model};
/// let model = Model::open(path)?;
/// let mut context = Context::open(&model)?;
/// for piece in context.generate(Generate::messages(&[Message::user("Who are you?")]))? {
///     print!("{}", piece?);
/// }
/// # let whole: String = context.generate(Generate::prompt("Hi").max_tokens(4))?.collect::<bitnet::Result<_>>()?;
/// # Ok::<(), bitnet::Error>(())
/// ```
///
/// It borrows its context, which can neither be used nor dropped meanwhile:
///
/// ```compile_fail,E0505
/// # fn f(mut context: bitnet::Context) -> bitnet::Result<()> {
/// let mut reply = context.generate(bitnet::Generate::prompt("Hi"))?;
/// drop(context);
/// reply.next_piece()?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0499
/// # fn f(mut context: bitnet::Context, batch: &[bitnet::BatchEntry]) -> bitnet::Result<()> {
/// let mut reply = context.generate(bitnet::Generate::prompt("Hi"))?;
/// context.decode(batch)?;
/// reply.next_piece()?;
/// # Ok(())
/// # }
/// ```
///
/// What it decoded stays in the context's sequence when it is dropped, so that the next turn of a chat is quick.
pub struct Generator<'ctx> {
    handle: Raw,
    context: &'ctx mut Context,
    failed: bool,
}

impl fmt::Debug for Generator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("handle", &self.handle.get()).field("context", &self.context).finish()
    }
}

impl<'ctx> Generator<'ctx> {
    pub(crate) fn open(context: &'ctx mut Context, options: Generate<'_>) -> Result<Self> {
        Ok(Self { handle: options.open(context)?, context, failed: false })
    }

    /// The next piece of the reply: never empty; `None` when the reply is over, which [`info`](Self::info) explains.
    ///
    /// # Errors
    /// - [`Status::CANCELLED`]: a [`CancelHandle`] was used; call again to go on where it stopped. Of a long prompt,
    ///   slices of 512 tokens that were finished stay in the sequence.
    /// - [`Status::CONTEXT_FULL`]: the cache has no room for the prompt, since other sequences hold it
    /// - [`Status::FORMAT`]: the model's logits are no numbers: its file is damaged
    pub fn next_piece(&mut self) -> Result<Option<&str>> {
        next_piece(&mut self.handle, self.context)
    }

    /// What was generated so far, and why it ended.
    ///
    /// # Errors
    /// None but those of any call.
    pub fn info(&self) -> Result<GenerateInfo<'_>> {
        info(&self.handle)
    }

    /// To stop the reply from elsewhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.context.cancel_handle()
    }
}

/// Pieces as [`Generator::next_piece`] gives them. After a cancellation the next item goes on where it stopped; after
/// any other error there is none.
impl Iterator for Generator<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let piece = self.next_piece().map(|piece| piece.map(String::from)).transpose();
        self.failed = matches!(&piece, Some(Err(error)) if !error.is_cancelled());
        piece
    }
}

impl FusedIterator for Generator<'_> {}

/// Several replies of one context, on different sequences, used in turn.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// # let model = bitnet::Model::open(path)?;
/// use bitnet::{Context, Generate};
/// let mut context = Context::open(&model)?;
/// let mut replies = context.replies();
/// let one = replies.open(Generate::prompt("One").sequence(0).max_tokens(8))?;
/// let two = replies.open(Generate::prompt("Two").sequence(1).max_tokens(8))?;
/// while let Some(piece) = replies.next_piece(one)? {
///     print!("{piece}");
///     replies.next_piece(two)?;
/// }
/// # assert_eq!(replies.info(one)?.tokens.len(), 8);
/// # Ok::<(), bitnet::Error>(())
/// ```
pub struct Replies<'ctx> {
    open: BTreeMap<usize, Raw>,
    next_number: usize,
    context: &'ctx mut Context,
}

impl fmt::Debug for Replies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("open", &self.open.keys()).field("context", &self.context).finish()
    }
}

impl<'ctx> Replies<'ctx> {
    pub(crate) fn new(context: &'ctx mut Context) -> Self {
        Self { open: BTreeMap::new(), next_number: 0, context }
    }

    fn closed(reply: usize) -> Error {
        Error::new(Status::ARGUMENT, format!("reply {reply} was closed, or never opened"))
    }

    /// Prepares a reply, and tells its number here: 0, 1, ... Numbers of closed replies are not used again.
    ///
    /// # Errors
    /// Those of [`Context::generate`].
    pub fn open(&mut self, options: Generate<'_>) -> Result<usize> {
        let number = self.next_number;
        self.open.insert(number, options.open(self.context)?);
        self.next_number += 1;
        Ok(number)
    }

    /// The next piece of a reply.
    ///
    /// # Errors
    /// Those of [`Generator::next_piece`]; [`Status::ARGUMENT`]: there is no such reply.
    pub fn next_piece(&mut self, reply: usize) -> Result<Option<&str>> {
        let generator = self.open.get_mut(&reply).ok_or_else(|| Self::closed(reply))?;
        next_piece(generator, self.context)
    }

    /// What was generated so far, and why it ended.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`]: there is no such reply.
    pub fn info(&self, reply: usize) -> Result<GenerateInfo<'_>> {
        info(self.open.get(&reply).ok_or_else(|| Self::closed(reply))?)
    }

    /// Closes a reply, if there is such a one. What it decoded stays in its sequence.
    pub fn close(&mut self, reply: usize) {
        self.open.remove(&reply);
    }

    /// To stop the reply that is decoding from elsewhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.context.cancel_handle()
    }
}

/// A reply so far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerateInfo<'g> {
    /// Why it is over.
    pub end_reason: EndReason,
    /// What was generated, the end token not counted.
    pub tokens: &'g [i32],
    /// The prompt's length.
    pub prompt_tokens: u64,
    /// Of the prompt, taken from the cache.
    pub reused_tokens: u64,
    /// Decoding the rest of the prompt took that long.
    pub prompt_seconds: f64,
    /// Decoding the reply and picking its tokens took that long.
    pub decode_seconds: f64,
    /// Tokens tried ahead.
    pub drafted_tokens: u64,
    /// Of these, what the reply then had.
    pub accepted_tokens: u64,
}
