//! Statuses, errors, and the one way every C call goes.
use std::ffi::CStr;
use std::fmt;
use std::io;

use bitnet_sys as sys;

use crate::callback;
use crate::numbers::numbers;

numbers! {
    /// What kind of failure an [`Error`] is.
    ///
    /// A newer library may have kinds that have no name here; they compare unequal to all of these.
    pub struct Status: bitnet_status {
        /// The call is wrong: a number is out of its range, a text holds a NUL. Nothing was done; fix the program.
        ARGUMENT = BITNET_E_ARGUMENT,
        /// The object is not in a state in which the call makes sense (logits nobody asked for). Nothing was done.
        STATE = BITNET_E_STATE,
        /// There is no memory. Nothing was done, the object is usable: release something, or ask for less.
        MEMORY = BITNET_E_MEMORY,
        /// A file could not be opened or read; the sentence has the path and the system's reason.
        IO = BITNET_E_IO,
        /// The file is damaged, truncated or breaks its format; the sentence says where. Get the file again.
        FORMAT = BITNET_E_FORMAT,
        /// Valid, but this library or this machine cannot do it. Also: the library found is not the one this crate
        /// was made for.
        UNSUPPORTED = BITNET_E_UNSUPPORTED,
        /// The cache has no room. Nothing was read: truncate a sequence, or open a larger context.
        CONTEXT_FULL = BITNET_E_CONTEXT_FULL,
        /// A [`CancelHandle`](crate::CancelHandle) or a progress closure stopped the call. Call again to go on.
        CANCELLED = BITNET_E_CANCELLED,
        /// A buffer was too small. This crate makes room itself and never returns it.
        BUFFER = BITNET_E_BUFFER,
        /// There is no such metadata key or tensor.
        NOT_FOUND = BITNET_E_NOT_FOUND,
        /// A device (a GPU) cannot be used or failed; the CPU still works.
        DEVICE = BITNET_E_DEVICE,
        /// A defect of the library. Please report the sentence, and drop the objects involved.
        INTERNAL = BITNET_E_INTERNAL,
    }
}

impl Status {
    /// The status's name in C, `"BITNET_E_FORMAT"` and the like; `"unknown status"` for one the library does not
    /// know.
    pub fn name(self) -> &'static str {
        // SAFETY: takes any number, returns a static terminated string.
        unsafe { CStr::from_ptr(sys::bitnet_status_name(sys::bitnet_status(self.number()))) }.to_str().unwrap_or("")
    }
}

/// Why a call failed: its kind, for the program, and a sentence, for people, that names the place and both sides.
///
/// [`source`](std::error::Error::source) is the [`io::Error`] of a reader given to
/// [`ModelOptions::open_source`](crate::ModelOptions::open_source), if that was what failed.
#[derive(Debug)]
pub struct Error {
    status: Status,
    message: Box<str>,
    source: Option<io::Error>,
}

/// What calls that can fail return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: Status, message: impl Into<Box<str>>) -> Self {
        Self { status, message: message.into(), source: None }
    }

    pub(crate) fn with_source(self, source: Option<io::Error>) -> Self {
        Self { source, ..self }
    }

    /// What kind of failure it is.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The sentence, which [`Display`](fmt::Display) shows, too.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether a [`CancelHandle`](crate::CancelHandle) or a progress closure stopped the call.
    pub fn is_cancelled(&self) -> bool {
        self.status == Status::CANCELLED
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// Makes a C call. A failure becomes an [`Error`]; otherwise whether the call returned `BITNET_DONE`.
///
/// A panic of a closure that was called back is not resumed: see [`call`].
pub(crate) fn try_call(call: impl FnOnce(*mut sys::bitnet_error) -> sys::bitnet_status) -> Result<bool> {
    let mut why = sys::bitnet_error::default();
    let status = call(&mut why);
    if status.0 >= 0 {
        return Ok(status == sys::bitnet_status::BITNET_DONE);
    }
    // SAFETY: the message is always terminated.
    let message = unsafe { CStr::from_ptr(why.message.as_ptr()) }.to_string_lossy();
    Err(Error::new(Status::from_number(status.0), message))
}

/// The same; a closure that panicked meanwhile goes on panicking here.
pub(crate) fn call(call: impl FnOnce(*mut sys::bitnet_error) -> sys::bitnet_status) -> Result<bool> {
    let result = try_call(call);
    callback::resume_panic();
    result
}
