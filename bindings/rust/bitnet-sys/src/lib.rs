//! What `bitnet.h` of libbitnet 0.2 declares, for Rust: every function, struct, constant and callback under its C name.
//!
//! The header is the manual; nothing is said again here. The crate `bitnet` is the safe layer over this one and what
//! programs want. `src/raw.rs` and `src/sized.rs` are generated from the header by `bindings/generate/rust.py` of
//! libbitnet's repository; neither bindgen nor clang is needed to use this crate.
//!
//! Two things differ from C:
//! - Enumerations are structs around their number with a constant for each member, since a newer library may return
//!   numbers that are not known here.
//! - The `..._INIT` macros are [`Default`]: `bitnet_error::default()` is `BITNET_ERROR_INIT`.
#![allow(non_camel_case_types)]

mod raw;
mod sized;

pub use raw::*;
