//! Contexts: decoding, sequences, statistics.
use std::fmt;
use std::ptr;

use bitnet_sys as sys;

use crate::callback::Pinned;
use crate::cancel::CancelHandle;
use crate::error::{call, Result};
use crate::execute::{execute, Execute, Tasks};
use crate::generate::{Generate, Generator, Replies};
use crate::handle::{filled, slice, utf8, Handle};
use crate::library;
use crate::model::Model;
use crate::numbers::{c_int, flags};
use crate::sampler::Sampler;

flags! {
    /// What is computed for an entry of a batch beside the cache.
    pub struct Want {
        /// Only the cache is filled, which saves the head's work.
        NOTHING = 0,
        /// [`Context::logits`] will be asked for this entry.
        LOGITS = sys::BITNET_WANT_LOGITS,
        /// [`Context::embedding`] will be asked for this entry.
        EMBEDDING = sys::BITNET_WANT_EMBEDDING,
        /// [`Context::sample`] will be asked for this entry, which takes less than the logits.
        SAMPLE = sys::BITNET_WANT_SAMPLE,
    }
}

/// One token to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BatchEntry {
    /// Below the model's `vocab_size`.
    pub token: i32,
    /// In its sequence: its length, then one more for each further entry of that sequence.
    pub position: i32,
    /// Below the number of [`sequences`](ContextOptions::sequences).
    pub sequence: i32,
    /// What to compute beside the cache.
    pub want: Want,
}

// The C struct is the same, so a slice of entries goes to C as it is.
const _: () = {
    assert!(std::mem::size_of::<BatchEntry>() == std::mem::size_of::<sys::bitnet_batch_entry>());
    assert!(std::mem::align_of::<BatchEntry>() == std::mem::align_of::<sys::bitnet_batch_entry>());
};

/// How to open a context.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// # let model = bitnet::Model::open(path)?;
/// let context = bitnet::ContextOptions::new().positions(256).sequences(4).threads(1).open(&model)?;
/// assert_eq!(context.stats()?.threads, 1);
/// # Ok::<(), bitnet::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct ContextOptions {
    positions: u32,
    sequences: u32,
    batch: u32,
    threads: u32,
    execute: Option<Execute>,
}

impl fmt::Debug for ContextOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextOptions")
            .field("positions", &self.positions)
            .field("sequences", &self.sequences)
            .field("batch", &self.batch)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl ContextOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cached positions, all sequences together, at most 2^24; 0, the default: the model's context length. Rounded up
    /// to 64.
    pub fn positions(mut self, count: u32) -> Self {
        self.positions = count;
        self
    }

    /// How many sequences there are, at most 1024; 0, the default: 16.
    pub fn sequences(mut self, count: u32) -> Self {
        self.sequences = count;
        self
    }

    /// Tokens computed at once, at most 4096; 0, the default: 256. Longer batches are cut, which changes no bit.
    pub fn batch(mut self, tokens: u32) -> Self {
        self.batch = tokens;
        self
    }

    /// At most 1024; 0, the default: one for each core. Changes no bit.
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = count;
        self
    }

    /// Threads of yours instead of the context's own: `execute` runs all [`Tasks`] and returns when they have
    /// returned. It is called on the thread of the call that decodes, many times for each token; not at all with one
    /// thread. Tasks it leaves are run when it has returned. If it panics, the call that decodes is finished, and
    /// panics then.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
    /// # let model = bitnet::Model::open(path)?;
    /// let mut context = bitnet::ContextOptions::new()
    ///     .threads(2)
    ///     .execute(|tasks| {
    ///         std::thread::scope(|scope| {
    ///             for _ in 0..tasks.count() {
    ///                 scope.spawn(|| tasks.run_next());
    ///             }
    ///         })
    ///     })
    ///     .open(&model)?;
    /// # assert!(context.generate(bitnet::Generate::prompt("Hi").max_tokens(1))?.next().unwrap().is_ok());
    /// # Ok::<(), bitnet::Error>(())
    /// ```
    pub fn execute(mut self, execute: impl FnMut(&Tasks) + Send + 'static) -> Self {
        self.execute = Some(Box::new(execute));
        self
    }

    /// Opens a context on the model. All its memory but room for more logits is allocated here:
    /// [`Model::estimate`] tells how much.
    ///
    /// # Errors
    /// - [`Status::STATE`](crate::Status::STATE): the model was opened with
    ///   [`ModelOptions::describe`](crate::ModelOptions::describe)
    /// - [`Status::ARGUMENT`](crate::Status::ARGUMENT): an option is out of its range
    /// - [`Status::MEMORY`](crate::Status::MEMORY): there is not enough of it
    pub fn open(mut self, model: &Model) -> Result<Context> {
        library::check()?;
        let info = model.info()?;
        let mut options = self.raw();
        let pool = self.execute.take().map(Pinned::new);
        if let Some(pool) = &pool {
            options.execute = Some(execute);
            options.execute_user = pool.user();
        }
        // SAFETY: an open model and initialized options.
        let mut handle = Handle::open(
            |context, why| unsafe { sys::bitnet_ctx_open(model.raw(), &options, context, why) },
            sys::bitnet_ctx_close,
        )?;
        Ok(Context {
            cancel: CancelHandle::new(handle.get_mut()),
            vocab_size: info.vocab_size,
            width: info.width,
            handle,
            _pool: pool,
            model: model.clone(),
        })
    }

    pub(crate) fn raw(&self) -> sys::bitnet_ctx_options {
        sys::bitnet_ctx_options {
            positions: self.positions,
            sequences: self.sequences,
            batch: self.batch,
            threads: c_int(self.threads),
            ..Default::default()
        }
    }
}

/// Where decoding happens: a cache of keys and values for some sequences, room for one batch, some threads.
///
/// Methods with `&self` may run side by side on several threads, those with `&mut self` alone, on any thread. Contexts
/// of one model are independent. After `fork()` a child must not use the ones it inherited, nor drop them.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// use bitnet::{BatchEntry, Context, Model, Sampler, Sampling, Tokenize, Want};
/// let model = Model::open(path)?;
/// let mut context = Context::open(&model)?;
/// let tokens = model.tokenize("The capital of France is", Tokenize::SPECIAL)?;
/// let mut batch: Vec<BatchEntry> = (0..)
///     .zip(&tokens)
///     .map(|(position, &token)| BatchEntry { token, position, sequence: 0, want: Want::NOTHING })
///     .collect();
/// let last = batch.len() - 1;
/// batch[last].want = Want::SAMPLE | Want::LOGITS;
/// context.decode(&batch)?;
/// let mut sampler = Sampler::open(&Sampling::new())?; // greedy
/// let token = context.sample(last, &mut sampler)?;
/// let logits = context.logits(last)?;
/// assert!(logits.iter().all(|&logit| logit <= logits[token as usize]));
/// # Ok::<(), bitnet::Error>(())
/// ```
///
/// Logits are borrowed from the context, so nothing can be decoded while they are used:
///
/// ```compile_fail,E0502
/// # fn f(context: &mut bitnet::Context, batch: &[bitnet::BatchEntry]) -> bitnet::Result<()> {
/// let logits = context.logits(0)?;
/// context.decode(batch)?;
/// println!("{}", logits[0]);
/// # Ok(())
/// # }
/// ```
pub struct Context {
    cancel: CancelHandle,
    vocab_size: usize,
    width: usize,
    // In the order of dropping: what C may use until the handle is closed comes behind it.
    handle: Handle<sys::bitnet_ctx>,
    _pool: Option<Pinned<Execute>>,
    model: Model,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("handle", &self.handle.get()).field("model", &self.model).finish()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.cancel.close();
    }
}

impl Context {
    /// Opens a context with default options.
    ///
    /// # Errors
    /// Those of [`ContextOptions::open`].
    pub fn open(model: &Model) -> Result<Self> {
        ContextOptions::new().open(model)
    }

    /// The model it was opened on.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// For [`Generate`] and others that need the C handle.
    pub(crate) fn raw(&mut self) -> *mut sys::bitnet_ctx {
        self.handle.get_mut()
    }

    /// Makes a C call that may be cancelled. One that was cancelled by a request that is out of date is made again.
    pub(crate) fn decoding(
        &mut self,
        mut decode: impl FnMut(*mut sys::bitnet_ctx, *mut sys::bitnet_error) -> sys::bitnet_status,
    ) -> Result<bool> {
        loop {
            let raw = self.raw();
            match call(|why| decode(raw, why)) {
                Err(error) if error.is_cancelled() && !self.cancel.take() => continue,
                result => return result,
            }
        }
    }

    /// Reads a batch: computes each entry's keys and values into the cache, and what the entries want. Entries may be
    /// of any sequences; within a sequence they are in order, positions without gaps.
    ///
    /// # Errors
    /// After any, no sequence has changed, and the logits of earlier calls are gone.
    /// - [`Status::ARGUMENT`](crate::Status::ARGUMENT): a token, sequence or position is wrong, or there is no entry;
    ///   the sentence says which
    /// - [`Status::CONTEXT_FULL`](crate::Status::CONTEXT_FULL): there is no room for all of them
    /// - [`Status::CANCELLED`](crate::Status::CANCELLED): a [`CancelHandle`] was used
    pub fn decode(&mut self, batch: &[BatchEntry]) -> Result<()> {
        // SAFETY: entries with their count, laid out as C's.
        self.decoding(|context, why| unsafe {
            sys::bitnet_ctx_decode(context, batch.as_ptr().cast(), batch.len() as u64, why)
        })?;
        Ok(())
    }

    /// The logits of an entry of the last batch: one for each token, unnormalized.
    ///
    /// # Errors
    /// [`Status::STATE`](crate::Status::STATE): that entry did not want [`Want::LOGITS`], or there was no batch.
    pub fn logits(&self, index: usize) -> Result<&[f32]> {
        let mut logits = ptr::null();
        // SAFETY: [vocab_size] floats that live until the context is used mutably.
        unsafe {
            call(|why| sys::bitnet_ctx_logits(self.handle.get(), index as u64, &mut logits, why))?;
            Ok(slice(logits, self.vocab_size as u64))
        }
    }

    /// The final hidden state of an entry of the last batch, after the output norm.
    ///
    /// # Errors
    /// [`Status::STATE`](crate::Status::STATE): that entry did not want [`Want::EMBEDDING`], or there was no batch.
    pub fn embedding(&self, index: usize) -> Result<&[f32]> {
        let mut embedding = ptr::null();
        // SAFETY: [width] floats that live until the context is used mutably.
        unsafe {
            call(|why| sys::bitnet_ctx_embedding(self.handle.get(), index as u64, &mut embedding, why))?;
            Ok(slice(embedding, self.width as u64))
        }
    }

    /// Picks the token that follows an entry of the last batch, from all tokens that have a text.
    ///
    /// # Errors
    /// Those of [`sample_first`](Self::sample_first).
    pub fn sample(&mut self, index: usize, sampler: &mut Sampler) -> Result<i32> {
        self.sample_first(index, 0, sampler)
    }

    /// The same from the first `count` tokens only: what [`Sampler::sample`] picks from that entry's first `count`
    /// logits. 0: all tokens that have a text.
    ///
    /// With a screened head (see [`Head`](crate::Head)) only logits that can matter are computed. `top_p` without
    /// `top_k` needs all of them: let the entry want [`Want::LOGITS`] then.
    ///
    /// # Errors
    /// - [`Status::STATE`](crate::Status::STATE): that entry wanted neither [`Want::SAMPLE`] nor [`Want::LOGITS`], or
    ///   there was no batch
    /// - [`Status::CANCELLED`](crate::Status::CANCELLED): a [`CancelHandle`] was used
    /// - [`Status::ARGUMENT`](crate::Status::ARGUMENT): as for [`Sampler::sample`]
    pub fn sample_first(&mut self, index: usize, count: usize, sampler: &mut Sampler) -> Result<i32> {
        let mut token = 0;
        // SAFETY: open handles, both borrowed mutably.
        self.decoding(|context, why| unsafe {
            sys::bitnet_ctx_sample(context, index as u64, count as u64, sampler.raw(), &mut token, why)
        })?;
        Ok(token)
    }

    /// Positions a sequence holds; 0 for numbers that are no sequences.
    pub fn sequence_length(&self, sequence: i32) -> usize {
        // SAFETY: an open context and any number.
        unsafe { sys::bitnet_ctx_sequence_length(self.handle.get(), sequence) as usize }
    }

    /// How many of the tokens the sequence holds from its start: what need not be decoded again.
    pub fn sequence_match(&self, sequence: i32, tokens: &[i32]) -> usize {
        let (first, count) = (tokens.as_ptr(), tokens.len() as u64);
        // SAFETY: an open context, tokens with their count.
        unsafe { sys::bitnet_ctx_sequence_match(self.handle.get(), sequence, first, count) as usize }
    }

    /// Makes `to` a copy of `from`, sharing its memory until one of them grows. What `to` held is dropped.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): there is no such sequence.
    pub fn sequence_fork(&mut self, from: i32, to: i32) -> Result<()> {
        // SAFETY: an open context and any numbers.
        call(|why| unsafe { sys::bitnet_ctx_sequence_fork(self.raw(), from, to, why) })?;
        Ok(())
    }

    /// Keeps the first `positions` positions of a sequence, if it has more; 0 empties it.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): there is no such sequence.
    pub fn sequence_truncate(&mut self, sequence: i32, positions: usize) -> Result<()> {
        // SAFETY: an open context and any numbers.
        call(|why| unsafe { sys::bitnet_ctx_sequence_truncate(self.raw(), sequence, positions as u64, why) })?;
        Ok(())
    }

    /// One sequence (its tokens, keys and values), to be [loaded](Self::load) into any context of the same model, in
    /// another process or on another machine.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): there is no such sequence.
    pub fn save(&self, sequence: i32) -> Result<Vec<u8>> {
        // SAFETY: an open context, a buffer as large as stated.
        filled(|buffer: *mut u8, capacity, bytes, why| unsafe {
            sys::bitnet_ctx_save(self.handle.get(), sequence, buffer.cast(), capacity, bytes, why)
        })
    }

    /// Replaces a sequence by a saved one, all or nothing.
    ///
    /// # Errors
    /// - [`Status::FORMAT`](crate::Status::FORMAT): it is damaged or no saved sequence
    /// - [`Status::UNSUPPORTED`](crate::Status::UNSUPPORTED): it was saved from another model
    /// - [`Status::CONTEXT_FULL`](crate::Status::CONTEXT_FULL): there is no room for it
    pub fn load(&mut self, sequence: i32, saved: &[u8]) -> Result<()> {
        let (data, bytes) = (saved.as_ptr().cast(), saved.len() as u64);
        // SAFETY: an open context, data with its length.
        call(|why| unsafe { sys::bitnet_ctx_load(self.raw(), sequence, data, bytes, why) })?;
        Ok(())
    }

    /// What the context has done since it was opened.
    ///
    /// # Errors
    /// None but those of any call.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = sys::bitnet_ctx_stats::default();
        // SAFETY: an open context and an initialized struct.
        call(|why| unsafe { sys::bitnet_ctx_get_stats(self.handle.get(), &mut stats, why) })?;
        Ok(Stats {
            threads: stats.threads as usize,
            batches: stats.batches,
            tokens: stats.tokens,
            single_tokens: stats.single_tokens,
            seconds: stats.seconds,
            single_seconds: stats.single_seconds,
            head_rows: stats.head_rows,
            positions_used: stats.positions_used,
            positions: stats.positions,
            cache_bytes: stats.cache_bytes,
            work_bytes: stats.work_bytes,
            weight_seconds: stats.weight_seconds,
            attention_seconds: stats.attention_seconds,
            screened_tokens: stats.screened_tokens,
            screened_rows: stats.screened_rows,
            full_tokens: stats.full_tokens,
            screened_bound: stats.screened_bound,
        })
    }

    /// A receipt of the work so far, as JSON of the schema "bitnet-receipt-1": library version, model fingerprint,
    /// instruction set, calls of each kernel, hash of all tokens decoded, timings, memory.
    ///
    /// # Errors
    /// None but those of any call.
    pub fn receipt(&self) -> Result<String> {
        // SAFETY: an open context, a buffer as large as stated.
        filled(|json: *mut u8, capacity, bytes, why| unsafe {
            sys::bitnet_ctx_receipt(self.handle.get(), json.cast(), capacity, bytes, why)
        })
        .map(utf8)
    }

    /// To stop this context's work from elsewhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Takes back cancel requests that no call has obeyed yet: for a loop of your own around [`decode`](Self::decode)
    /// that begins something new. Opening a generator does it by itself.
    pub fn discard_cancel(&mut self) {
        self.cancel.discard();
    }

    /// Tells the library again what was asked and not taken back.
    pub(crate) fn renew_cancel(&self) {
        self.cancel.renew();
    }

    /// Prepares a reply; nothing is decoded yet. The prompt is copied; what the sequence holds and the prompt share is
    /// not decoded again.
    ///
    /// # Errors
    /// - [`Status::CONTEXT_FULL`](crate::Status::CONTEXT_FULL): the prompt alone is longer than the context
    /// - [`Status::UNSUPPORTED`](crate::Status::UNSUPPORTED): messages, but no chat template is known
    /// - [`Status::ARGUMENT`](crate::Status::ARGUMENT): an option is out of its range; the sentence says which
    pub fn generate(&mut self, options: Generate<'_>) -> Result<Generator<'_>> {
        Generator::open(self, options)
    }

    /// For several replies at a time, on different sequences.
    pub fn replies(&mut self) -> Replies<'_> {
        Replies::new(self)
    }
}

/// What a context has done since it was opened, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads in use.
    pub threads: usize,
    /// Decode calls that succeeded.
    pub batches: u64,
    /// Entries they had.
    pub tokens: u64,
    /// Of these, in calls with one entry.
    pub single_tokens: u64,
    /// Time in those calls.
    pub seconds: f64,
    /// Time in those with one entry.
    pub single_seconds: f64,
    /// Rows of logits computed.
    pub head_rows: u64,
    /// Cache positions in use: whole pages, shared pages once.
    pub positions_used: u64,
    /// Cache positions there are.
    pub positions: u64,
    /// Memory of the cache.
    pub cache_bytes: u64,
    /// Memory of everything else in the context.
    pub work_bytes: u64,
    /// Of `single_seconds`: products with weights, the head's included.
    pub weight_seconds: f64,
    /// Of `single_seconds`: attention.
    pub attention_seconds: f64,
    /// Entries read through the screened head.
    pub screened_tokens: u64,
    /// Rows of the head computed exactly for them.
    pub screened_rows: u64,
    /// Of `screened_tokens`, those whose sampling had to compute every row after all.
    pub full_tokens: u64,
    /// The largest error bound met, in standard deviations of the logits it bounds.
    pub screened_bound: f64,
}
