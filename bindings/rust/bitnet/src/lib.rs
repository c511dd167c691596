//! BitNet b1.58 (ternary-weight) language models inside your own program: the safe layer over
//! [libbitnet](bitnet_sys).
//!
//! ```
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
//! use bitnet::{Context, Generate, Message, Model};
//!
//! let model = Model::open(path)?;
//! let mut context = Context::open(&model)?;
//! let ask = [Message::user("What is the capital of France?")];
//! for piece in context.generate(Generate::messages(&ask))? {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), bitnet::Error>(())
//! ```
//!
//! - A [`Model`] is opened once ([`ModelOptions`]) and shared; clones and threads use the same one.
//! - A [`Context`] is where decoding happens ([`ContextOptions`]); each thread that generates has its own.
//! - A [`Generator`] is a reply as it comes ([`Generate`], [`Sampling`]).
//! - A [`CancelHandle`] stops a context's work from another thread.
//! - [`Context::decode`], [`Context::logits`], [`Sampler`] are the parts, for loops of your own.
//!
//! # Threads
//!
//! Models, contexts, samplers and replies are [`Send`] and [`Sync`]. What the library allows side by side takes `&self`,
//! everything else `&mut self`. After `fork()` a child must not use what it inherited, nor drop it.
//!
//! # Errors and panics
//!
//! What can fail returns a [`Result`] whose [`Error`] has a [`Status`] for the program and a sentence for people. Any
//! call may fail with [`Status::ARGUMENT`] and [`Status::MEMORY`]. A failed call changes nothing, unless it says so.
//!
//! Closures given to the library (log, progress, execute, a source to read) may panic: nothing unwinds through C. The
//! panic goes on in the caller when the call has returned, and everything stays usable. In a destructor of a
//! thread-local it may end there, reported by the panic hook only.
//!
//! # The library
//!
//! It is found when building, by pkg-config or `BITNET_LIB_DIR`, and when running, by the loader. Everything that opens
//! something first compares versions: the library must have the ABI version of the header this crate was made from, and
//! that header's version or a newer one.
#![warn(missing_docs, missing_debug_implementations, unsafe_op_in_unsafe_fn)]

mod callback;
mod cancel;
mod context;
mod error;
mod execute;
mod generate;
mod handle;
mod library;
mod model;
mod numbers;
mod sampler;
mod text;

pub use cancel::CancelHandle;
pub use context::{BatchEntry, Context, ContextOptions, Stats, Want};
pub use error::{Error, Result, Status};
pub use execute::Tasks;
pub use generate::{EndReason, Generate, GenerateInfo, Generator, Replies};
pub use library::{
    abi_version, devices, isa_names, measure_machine, version, version_string, DeviceInfo, MachineLimits, Version,
};
pub use model::{
    Activation, Estimate, Head, I2sLayout, LogLevel, Metadata, Model, ModelInfo, ModelOptions, TensorInfo, Weights,
};
pub use sampler::{Sampler, Sampling};
pub use text::{Detokenize, Message, Tokenize};

/// The README's examples are tested as these are.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
