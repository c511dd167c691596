//! What C gives: handles, texts, buffers to be filled.
use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::ptr::{self, NonNull};

use bitnet_sys as sys;

use crate::callback;
use crate::error::{call, try_call, Error, Result, Status};

/// A handle of the C interface, closed when dropped.
pub(crate) struct Handle<T> {
    raw: NonNull<T>,
    close: unsafe extern "C" fn(*mut T),
}

// SAFETY: "Calls that take a handle as const may run side by side, but not beside one that takes it without const; of
// those, one at a time, on any thread" (bitnet.h). Calls with const are made from methods with &self, others from
// methods with &mut self or from drop.
unsafe impl<T> Send for Handle<T> {}
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// `open` is a C call that stores a handle.
    pub(crate) fn open(
        open: impl FnOnce(*mut *mut T, *mut sys::bitnet_error) -> sys::bitnet_status,
        close: unsafe extern "C" fn(*mut T),
    ) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let result = try_call(|why| open(&mut raw, why));
        let handle = NonNull::new(raw).map(|raw| Self { raw, close });
        callback::resume_panic(); // not before the handle has an owner
        result?;
        handle.ok_or_else(|| Error::new(Status::INTERNAL, "the library opened something and gave no handle"))
    }

    /// For calls that take it as const.
    pub(crate) fn get(&self) -> *const T {
        self.raw.as_ptr()
    }

    /// For all other calls.
    pub(crate) fn get_mut(&mut self) -> *mut T {
        self.raw.as_ptr()
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: opened by the call that belongs to `close`, closed once.
        unsafe { (self.close)(self.raw.as_ptr()) };
    }
}

/// Query-then-fill: asks for the size, makes room, asks again. `fill` gets buffer, capacity, size and reason.
pub(crate) fn filled<T: Copy>(
    mut fill: impl FnMut(*mut T, u64, *mut u64, *mut sys::bitnet_error) -> sys::bitnet_status,
) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    loop {
        let mut size = 0;
        let result = call(|why| fill(buffer.as_mut_ptr(), buffer.capacity() as u64, &mut size, why));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match result {
            Ok(_) => {
                // SAFETY: the call filled that many elements.
                unsafe { buffer.set_len(size) };
                return Ok(buffer);
            }
            Err(error) if error.status() == Status::BUFFER => buffer
                .try_reserve_exact(size)
                .map_err(|_| Error::new(Status::MEMORY, format!("there is no memory for {size} elements")))?,
            Err(error) => return Err(error),
        }
    }
}

/// What the library says is UTF-8.
pub(crate) fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A text of the library, or "" for none.
///
/// # Safety
/// `text` is NULL or terminated, and lives as long as 'a.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("\u{fffd}")
}

/// `count` elements at `first`, which may be NULL if there are none.
///
/// # Safety
/// They live as long as 'a and are not written meanwhile.
pub(crate) unsafe fn slice<'a, T>(first: *const T, count: u64) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(first, count as usize) }
}

/// A terminated copy for C. `what` names it in the sentence if it holds a NUL.
pub(crate) fn c_string(what: &str, text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let at = error.nul_position();
        Error::new(Status::ARGUMENT, format!("{what} has a NUL at byte {at}, which C cannot pass: remove it"))
    })
}

/// Pointer and length for the C interface's texts with a length, where length 0 means "terminated".
pub(crate) fn sized_text(text: &str) -> (*const c_char, u64) {
    if text.is_empty() {
        return ("\0".as_ptr().cast(), 0);
    }
    (text.as_ptr().cast(), text.len() as u64)
}
