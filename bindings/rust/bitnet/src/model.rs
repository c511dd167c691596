//! Models: opening them, and what they say about themselves.
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::raw::{c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use bitnet_sys as sys;

use crate::callback::{self, Log, Pinned, Progress};
use crate::context::ContextOptions;
use crate::error::{call, Error, Result, Status};
use crate::handle::{c_string, filled, text, utf8, Handle};
use crate::library;
use crate::numbers::{c_int, numbers};

numbers! {
    /// How serious a message of the library is.
    pub struct LogLevel: bitnet_log_level {
        /// The call that logs it fails.
        ERROR = BITNET_LOG_ERROR,
        /// Something in the file was tolerated; [`ModelOptions::strict`] makes it an error.
        WARNING = BITNET_LOG_WARNING,
        /// What was found and done.
        INFO = BITNET_LOG_INFO,
    }
}

numbers! {
    /// How the 2-bit codes of I2_S tensors lie. Files carry no mark of it.
    pub struct I2sLayout: bitnet_i2s_layout {
        /// As in all published files: 128.
        AUTO = BITNET_I2S_AUTO,
        /// Blocks of 128.
        BLOCKS_128 = BITNET_I2S_128,
        /// Blocks of 64: written by ARM builds of bitnet.cpp since 2026.
        BLOCKS_64 = BITNET_I2S_64,
        /// Written by bitnet.cpp built without ACT_PARALLEL.
        FOUR_ROWS = BITNET_I2S_4ROW,
    }
}

numbers! {
    /// The function at the gate of the feed-forward block.
    pub struct Activation: bitnet_activation {
        /// By the file's key, else by family.
        AUTO = BITNET_ACTIVATION_AUTO,
        /// Squared ReLU.
        RELU2 = BITNET_ACTIVATION_RELU2,
        /// SiLU.
        SILU = BITNET_ACTIVATION_SILU,
    }
}

numbers! {
    /// How ternary weights are kept. Changes speed and memory, no bit of any result.
    pub struct Weights: bitnet_weights {
        /// The faster one of the next two, found by a short trial while opening.
        AUTO = BITNET_WEIGHTS_AUTO,
        /// Packed anew, four weights a byte.
        TWO_BIT = BITNET_WEIGHTS_2BIT,
        /// Packed anew, five weights a byte: less to read, more to compute.
        BASE3 = BITNET_WEIGHTS_BASE3,
        /// As they lie in the mapped file: opens at once, takes the least memory, computes slower. Only for I2_S
        /// (layout 128) and TQ2_0.
        FILE = BITNET_WEIGHTS_FILE,
    }
}

numbers! {
    /// How the next token is found among the head's rows, by [`Context::sample`](crate::Context::sample) and
    /// generators. Changes no pick.
    pub struct Head: bitnet_head {
        /// `SCREENED` where the head is large enough for it to pay.
        AUTO = BITNET_HEAD_AUTO,
        /// Every row is computed.
        FULL = BITNET_HEAD_FULL,
        /// A copy in 7 bits a weight (8 on a device), with proven error bounds, is read first, and only rows that can
        /// matter are computed.
        SCREENED = BITNET_HEAD_SCREENED,
    }
}

/// A model: weights, tokenizer, metadata. Immutable, and shared freely among threads; clones are the same model.
///
/// Contexts keep it alive; its memory goes with the last of them.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// let model = bitnet::Model::open(path)?;
/// let info = model.info()?;
/// println!("{}: {} layers of {}", info.name, info.layers, info.width);
/// # assert!(info.layers > 0 && info.width > 0);
/// # Ok::<(), bitnet::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    opened: Arc<Opened>,
}

/// In the order of dropping: what C may use until the handle is closed comes behind it.
struct Opened {
    handle: Handle<sys::bitnet_model>,
    _log: Option<Pinned<Log>>,
    _bytes: Option<Arc<dyn AsRef<[u8]> + Send + Sync>>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("handle", &self.raw()).finish()
    }
}

impl Model {
    /// Opens a GGUF file with default options and prepares it for this machine: about a second per gigabyte.
    ///
    /// # Errors
    /// Those of [`ModelOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        ModelOptions::new().open(path)
    }

    pub(crate) fn raw(&self) -> *const sys::bitnet_model {
        self.opened.handle.get()
    }

    /// What the model is.
    ///
    /// # Errors
    /// None but those of any call.
    pub fn info(&self) -> Result<ModelInfo<'_>> {
        let mut info = sys::bitnet_model_info::default();
        // SAFETY: an open model; the texts of info belong to it.
        unsafe {
            call(|why| sys::bitnet_model_get_info(self.raw(), &mut info, why))?;
            Ok(ModelInfo {
                family: text(info.family),
                name: text(info.name),
                device: text(info.device),
                isa: text(info.isa),
                chat_template: Some(text(info.chat_template)).filter(|name| !name.is_empty()),
                fingerprint: info.fingerprint,
                parameters: info.parameters,
                file_bytes: info.file_bytes,
                weight_bytes: info.weight_bytes,
                bytes_per_token: info.bytes_per_token,
                vocab_size: info.vocab_size as usize,
                context_length: info.context_length as usize,
                layers: info.layers as usize,
                width: info.width as usize,
                ff_width: info.ff_width as usize,
                heads: info.heads as usize,
                kv_heads: info.kv_heads as usize,
                head_dim: info.head_dim as usize,
                bos_token: token(info.bos_token),
                eos_token: token(info.eos_token),
                eot_token: token(info.eot_token),
                activation: Activation::from_number(info.activation),
                weights: Weights::from_number(info.weights),
                head: Head::from_number(info.head),
                strict: info.flags & sys::BITNET_MODEL_STRICT != 0,
                describe: info.flags & sys::BITNET_MODEL_DESCRIBE != 0,
                read: info.flags & sys::BITNET_MODEL_READ != 0,
                load_seconds: info.load_seconds,
            })
        }
    }

    /// The file's metadata, in file order.
    ///
    /// ```
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
    /// # let model = bitnet::ModelOptions::new().describe(true).open(path)?;
    /// for entry in model.metadata() {
    ///     println!("{} = {}", entry.key(), entry.text(8)?);
    /// }
    /// # assert!(model.metadata().any(|entry| entry.key() == "general.architecture"));
    /// # Ok::<(), bitnet::Error>(())
    /// ```
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = Metadata<'_>> + DoubleEndedIterator {
        // SAFETY: an open model.
        let count = unsafe { sys::bitnet_model_metadata_count(self.raw()) };
        (0..count as usize).map(move |index| {
            // SAFETY: index is below the count; the key belongs to the model.
            let key = unsafe { CStr::from_ptr(sys::bitnet_model_metadata_key(self.raw(), index as u64)) };
            Metadata { model: self, key }
        })
    }

    /// One value of the metadata as text: see [`Metadata::text`].
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`]: there is no such key.
    pub fn metadata_text(&self, key: &str, max_elements: u64) -> Result<String> {
        self.metadata_text_of(&c_string("the key", key)?, max_elements)
    }

    fn metadata_text_of(&self, key: &CStr, max_elements: u64) -> Result<String> {
        // SAFETY: an open model, a terminated key, a buffer as large as stated.
        filled(|buffer: *mut u8, capacity, size, why| unsafe {
            let buffer = buffer.cast();
            sys::bitnet_model_metadata_text(self.raw(), key.as_ptr(), max_elements, buffer, capacity, size, why)
        })
        .map(utf8)
    }

    /// How many tensors the file has.
    pub fn tensor_count(&self) -> usize {
        // SAFETY: an open model.
        unsafe { sys::bitnet_model_tensor_count(self.raw()) as usize }
    }

    /// One tensor of the file, `index` below [`tensor_count`](Self::tensor_count).
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`]: there is no such tensor.
    pub fn tensor(&self, index: usize) -> Result<TensorInfo<'_>> {
        let mut info = sys::bitnet_tensor_info::default();
        // SAFETY: an open model; the texts of info belong to it.
        unsafe {
            call(|why| sys::bitnet_model_tensor(self.raw(), index as u64, &mut info, why))?;
            Ok(TensorInfo {
                name: text(info.name),
                kind: text(info.type_),
                dimensions: info.dimensions as usize,
                shape: info.shape,
                offset: info.offset,
                bytes: info.bytes,
            })
        }
    }

    /// All tensors of the file, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = Result<TensorInfo<'_>>> {
        (0..self.tensor_count()).map(move |index| self.tensor(index))
    }

    /// The memory that a context with these options takes, before opening it. The model may have been opened with
    /// [`ModelOptions::describe`], so this works before loading anything.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`]: an option is out of its range.
    pub fn estimate(&self, options: &ContextOptions) -> Result<Estimate> {
        let mut estimate = sys::bitnet_estimate::default();
        // SAFETY: an open model and initialized structs.
        call(|why| unsafe { sys::bitnet_model_estimate(self.raw(), &options.raw(), &mut estimate, why) })?;
        Ok(Estimate {
            file_bytes: estimate.file_bytes,
            weight_bytes: estimate.weight_bytes,
            cache_bytes: estimate.cache_bytes,
            work_bytes: estimate.work_bytes,
            total_bytes: estimate.total_bytes,
            device_bytes: estimate.device_bytes,
        })
    }
}

fn token(number: i32) -> Option<i32> {
    Some(number).filter(|number| *number >= 0)
}

/// What a model is. Texts belong to the model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelInfo<'m> {
    /// The architecture: "bitnet-b1.58", "llama", ...
    pub family: &'m str,
    /// `general.name`, or "".
    pub name: &'m str,
    /// "cpu".
    pub device: &'m str,
    /// The instruction set in use: "avx512", ...
    pub isa: &'m str,
    /// "bitnet", "llama-3", "falcon3" or "chatml"; none for a model that cannot chat.
    pub chat_template: Option<&'m str>,
    /// Of the metadata and both ends of each tensor: tells models apart, proves nothing.
    pub fingerprint: u64,
    /// Numbers in its weights.
    pub parameters: u64,
    /// The file's size.
    pub file_bytes: u64,
    /// Resident: what the library allocated for weights.
    pub weight_bytes: u64,
    /// Weight bytes read to decode and pick one token, without the cache.
    pub bytes_per_token: u64,
    /// Tokens are the numbers below it; a row of logits has this many numbers. The last ones may be padding without
    /// text.
    pub vocab_size: usize,
    /// Positions the model was trained for.
    pub context_length: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Numbers in an embedding.
    pub width: usize,
    /// Width of the feed-forward block.
    pub ff_width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Attention heads of keys and values.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
    /// Begin of text.
    pub bos_token: Option<i32>,
    /// End of text.
    pub eos_token: Option<i32>,
    /// End of turn.
    pub eot_token: Option<i32>,
    /// In use; never `AUTO`.
    pub activation: Activation,
    /// In use; never `AUTO`.
    pub weights: Weights,
    /// In use; never `AUTO`.
    pub head: Head,
    /// Opened with [`ModelOptions::strict`].
    pub strict: bool,
    /// Opened with [`ModelOptions::describe`].
    pub describe: bool,
    /// Opened with [`ModelOptions::read`].
    pub read: bool,
    /// How long opening took.
    pub load_seconds: f64,
}

/// One key of a model's metadata, with its value.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'m> {
    model: &'m Model,
    key: &'m CStr,
}

impl<'m> Metadata<'m> {
    /// The key, with U+FFFD for what is not UTF-8.
    pub fn key(&self) -> Cow<'m, str> {
        self.key.to_string_lossy()
    }

    /// The value as text: strings as they are, numbers in decimal, booleans true or false, arrays as JSON, of which at
    /// most `max_elements` are written, then the string "...".
    ///
    /// # Errors
    /// None but those of any call.
    pub fn text(&self, max_elements: u64) -> Result<String> {
        self.model.metadata_text_of(self.key, max_elements)
    }
}

/// One tensor of a model's file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TensorInfo<'m> {
    /// "blk.0.attn_q.weight" and the like.
    pub name: &'m str,
    /// Its type: "I2_S", "F16", ...
    pub kind: &'m str,
    /// 1 to 4.
    pub dimensions: usize,
    /// `shape[0]` is the length of a row; unused ones are 1.
    pub shape: [u64; 4],
    /// Where it begins in the file.
    pub offset: u64,
    /// Its size there.
    pub bytes: u64,
}

/// What opening would take: [`Model::estimate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Estimate {
    /// The file, mapped: the embedding table and the head are read from there.
    pub file_bytes: u64,
    /// Packed weights in the host's memory, like the two below; 0 with a device.
    pub weight_bytes: u64,
    /// The context's cache; 0 with a device.
    pub cache_bytes: u64,
    /// Everything else of the context.
    pub work_bytes: u64,
    /// Weights, cache, work, and the part of the file that stays in use.
    pub total_bytes: u64,
    /// Of a device's memory: weights and context; 0: the CPU computes.
    pub device_bytes: u64,
}

/// How to open a model, and the calls that do.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// let model = bitnet::ModelOptions::new()
///     .threads(2)
///     .log(|level, text| eprintln!("{level:?}: {text}"))
///     .progress(|done| {
///         eprint!("\r{:3.0}%", 100.0 * done);
///         true // go on
///     })
///     .open(path)?;
/// # assert_eq!(model.info()?.device, "cpu");
/// # Ok::<(), bitnet::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct ModelOptions<'a> {
    flags: u32,
    device: Option<String>,
    isa: Option<String>,
    threads: u32,
    i2s_layout: i32,
    activation: i32,
    weights: i32,
    head: i32,
    log: Option<Log>,
    progress: Option<Progress<'a>>,
}

impl fmt::Debug for ModelOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelOptions")
            .field("flags", &self.flags)
            .field("device", &self.device)
            .field("isa", &self.isa)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl<'a> ModelOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    fn flag(mut self, flag: u32, on: bool) -> Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// A tolerated defect of the file, a fallback to another device or kernel becomes an error.
    pub fn strict(self, on: bool) -> Self {
        self.flag(sys::BITNET_MODEL_STRICT, on)
    }

    /// Read only what describes the model: quick and cheap, but no context can be opened on it.
    pub fn describe(self, on: bool) -> Self {
        self.flag(sys::BITNET_MODEL_DESCRIBE, on)
    }

    /// Read the file into memory instead of mapping it. A mapped file that somebody truncates while it is in use ends
    /// the process with SIGBUS; this is immune to that and costs the file's size in memory.
    pub fn read(self, on: bool) -> Self {
        self.flag(sys::BITNET_MODEL_READ, on)
    }

    /// "auto" (the default) or "cpu".
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// A name of [`isa_names`](crate::isa_names); by default the best this processor runs.
    pub fn isa(mut self, name: impl Into<String>) -> Self {
        self.isa = Some(name.into());
        self
    }

    /// Threads that prepare the weights, up to 1024; 0, the default: one for each core.
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = count;
        self
    }

    /// How I2_S codes lie in the file.
    pub fn i2s_layout(mut self, layout: I2sLayout) -> Self {
        self.i2s_layout = layout.number();
        self
    }

    /// Overrides what the file says.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation.number();
        self
    }

    /// How ternary weights are kept.
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights.number();
        self
    }

    /// How the next token is found.
    pub fn head(mut self, head: Head) -> Self {
        self.head = head.number();
        self
    }

    /// Receives the library's messages: a sentence each, without a newline. Called on the thread of the call that
    /// logs; kept until the model is gone. By default the library is silent.
    ///
    /// If it panics, the call that logged is finished, and panics then.
    ///
    /// The model may be used on any thread, so what the closure holds must be fit for that:
    ///
    /// ```compile_fail,E0277
    /// let lines = std::rc::Rc::new(std::cell::Cell::new(0));
    /// let options = bitnet::ModelOptions::new().log(move |_, _| lines.set(lines.get() + 1));
    /// ```
    pub fn log(mut self, log: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Learns how much of the weights is prepared, of 1.0, about a hundred times at most, while opening. Returning
    /// `false` cancels: opening fails with [`Status::CANCELLED`].
    ///
    /// If it panics, opening is cancelled, and panics then.
    pub fn progress(mut self, progress: impl FnMut(f64) -> bool + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Opens a GGUF file.
    ///
    /// # Errors
    /// - [`Status::IO`]: the file cannot be opened or read
    /// - [`Status::FORMAT`]: it is damaged; the sentence names the place
    /// - [`Status::UNSUPPORTED`]: a family, type, option or instruction set this library or machine lacks, or the
    ///   library found is not the one this crate was made for
    /// - [`Status::DEVICE`]: the device asked for cannot be used
    /// - [`Status::CANCELLED`]: the progress closure said so
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path_for_c(path.as_ref())?;
        // SAFETY: a terminated path and initialized options.
        self.open_with(None, |options, model, why| unsafe {
            sys::bitnet_model_open(path.as_ptr(), options, model, why)
        })
    }

    /// The same from the bytes of a file: a `&'static [u8]`, an `Arc<[u8]>`, a `Vec<u8>`, a mapping of your own. They
    /// are kept as long as the model or a context of it lives.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_memory(self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
        // Nothing but the Arc has it from here on, so what as_ref() gives stays where it is.
        let bytes: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(bytes);
        let whole = (*bytes).as_ref();
        let (data, length) = (whole.as_ptr(), whole.len() as u64);
        // SAFETY: the bytes live in `bytes`, which goes when the model is closed.
        self.open_with(Some(bytes), |options, model, why| unsafe {
            sys::bitnet_model_open_memory(data.cast(), length, options, model, why)
        })
    }

    /// The same from anything that can be read: an archive, an encrypted file. The whole of it, from its start, is
    /// read once into memory of the library, on this thread.
    ///
    /// If `source` panics, opening fails, and panics then.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); of [`Status::IO`], the [`source`](std::error::Error::source) is the error that
    /// reading gave.
    pub fn open_source(self, source: impl Read + Seek) -> Result<Model> {
        let mut source = Source { source, failure: None };
        let bytes = source.source.seek(SeekFrom::End(0)).map_err(|error| {
            Error::new(Status::IO, "the length of the source cannot be told").with_source(Some(error))
        })?;
        let read_at = read_at_for(&source);
        let user: *mut c_void = ptr::addr_of_mut!(source).cast();
        let raw = sys::bitnet_source { bytes, read_at: Some(read_at), user, ..Default::default() };
        // SAFETY: read_at knows the type that user points to; neither is kept.
        let result = self
            .open_with(None, |options, model, why| unsafe { sys::bitnet_model_open_source(&raw, options, model, why) });
        result.map_err(|error| error.with_source(source.failure.take()))
    }

    fn open_with(
        self,
        bytes: Option<Arc<dyn AsRef<[u8]> + Send + Sync>>,
        open: impl FnOnce(
            *const sys::bitnet_model_options,
            *mut *mut sys::bitnet_model,
            *mut sys::bitnet_error,
        ) -> sys::bitnet_status,
    ) -> Result<Model> {
        library::check()?;
        let device = self.device.map(|name| c_string("device", name)).transpose()?;
        let isa = self.isa.map(|name| c_string("isa", name)).transpose()?;
        let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let log = self.log.map(Pinned::new);
        let mut progress = self.progress;
        let options = sys::bitnet_model_options {
            flags: self.flags,
            device: pointer(&device),
            isa: pointer(&isa),
            threads: c_int(self.threads),
            i2s_layout: self.i2s_layout,
            activation: self.activation,
            log: log.as_ref().map(|_| callback::log as _),
            log_user: log.as_ref().map_or(ptr::null_mut(), Pinned::user),
            progress: progress.as_ref().map(|_| callback::progress as _),
            progress_user: progress.as_mut().map_or(ptr::null_mut(), |progress| (progress as *mut Progress).cast()),
            weights: self.weights,
            head: self.head,
            ..Default::default()
        };
        let handle = Handle::open(|model, why| open(&options, model, why), sys::bitnet_model_close)?;
        Ok(Model { opened: Arc::new(Opened { handle, _log: log, _bytes: bytes }) })
    }
}

/// Paths are UTF-8 for the library, which on Unix hands their bytes to the system as they are.
fn path_for_c(path: &Path) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    #[cfg(not(unix))]
    let bytes = path
        .to_str()
        .ok_or_else(|| Error::new(Status::ARGUMENT, format!("the path {} is no Unicode", path.display())))?;
    c_string("the path", bytes)
}

struct Source<R> {
    source: R,
    failure: Option<io::Error>,
}

type ReadAt = unsafe extern "C" fn(*mut c_void, u64, *mut c_void, u64) -> c_int;

/// The function that takes this type behind `user`.
fn read_at_for<R: Read + Seek>(_: &Source<R>) -> ReadAt {
    read_at::<R>
}

/// A `read_at`; `user` is a `Source<R>`.
unsafe extern "C" fn read_at<R: Read + Seek>(user: *mut c_void, offset: u64, buffer: *mut c_void, bytes: u64) -> c_int {
    const FAILED: c_int = 1;
    callback::guarded(FAILED, || {
        // SAFETY: lent to C for the opening call, which calls on its own thread only. The buffer is filled before it
        // becomes a slice, since a reader may look at what it is given.
        let (source, buffer) = unsafe {
            ptr::write_bytes(buffer.cast::<u8>(), 0, bytes as usize);
            (&mut *user.cast::<Source<R>>(), std::slice::from_raw_parts_mut(buffer.cast::<u8>(), bytes as usize))
        };
        let reading = source.source.seek(SeekFrom::Start(offset)).and_then(|_| source.source.read_exact(buffer));
        match reading {
            Ok(()) => 0,
            Err(error) => {
                source.failure = Some(error);
                FAILED
            }
        }
    })
}
