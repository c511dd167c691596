//! Closures that C calls. A panic must not unwind into C: it is caught, kept for its thread, and resumed when the C
//! call that led to it has returned.
//!
//! The library may be called in the destructor of a thread-local, when what is kept here is gone already. Nothing must
//! panic for that: a panic in a closure is lost then.
#![allow(clippy::declare_interior_mutable_const)] // clippy 1.63 sees one in thread_local!
use std::any::Any;
use std::cell::RefCell;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{self, AssertUnwindSafe};

use bitnet_sys as sys;

use crate::model::LogLevel;

thread_local! {
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// Runs a closure's call; `otherwise` is the answer to C when it panics, and from then on until the panic is resumed.
pub(crate) fn guarded<R>(otherwise: R, call: impl FnOnce() -> R) -> R {
    if PANIC.try_with(|kept| kept.borrow().is_some()).unwrap_or(false) {
        return otherwise;
    }
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let _ = PANIC.try_with(|kept| *kept.borrow_mut() = Some(payload));
        otherwise
    })
}

/// Goes on with the panic that was caught on this thread, if there is one.
pub(crate) fn resume_panic() {
    if let Ok(Some(payload)) = PANIC.try_with(|kept| kept.borrow_mut().take()) {
        panic::resume_unwind(payload);
    }
}

/// An object at a fixed address that C knows. While it lives, only C's calls back touch it, so no reference and no
/// `Box` may claim it.
pub(crate) struct Pinned<T>(*mut T);

impl<T> Pinned<T> {
    pub(crate) fn new(object: T) -> Self {
        Self(Box::into_raw(Box::new(object)))
    }

    pub(crate) fn user(&self) -> *mut c_void {
        self.0.cast()
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: from Box::into_raw, and C does not know it any more: the owner drops its handle first.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

// SAFETY: owns the object.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: gives out no reference; whoever lets C use it on several threads at once requires T: Sync.
unsafe impl<T: Send> Sync for Pinned<T> {}

pub(crate) type Log = Box<dyn Fn(LogLevel, &str) + Send + Sync>;
pub(crate) type Progress<'a> = Box<dyn FnMut(f64) -> bool + 'a>;

/// A `bitnet_log_fn`; `user` is a [`Log`].
pub(crate) unsafe extern "C" fn log(user: *mut c_void, level: sys::bitnet_log_level, text: *const c_char) {
    guarded((), || {
        // SAFETY: a Log, shared among threads, and a terminated text, both alive during the call.
        let (log, text) = unsafe { (&*(user as *const Log), CStr::from_ptr(text)) };
        log(LogLevel::from_number(level.0 as i32), &text.to_string_lossy());
    });
}

/// A `bitnet_progress_fn`; `user` is a [`Progress`].
pub(crate) unsafe extern "C" fn progress(user: *mut c_void, done: f64) -> c_int {
    let go_on = guarded(false, || {
        // SAFETY: a Progress that is lent to C for the opening call, which calls it on its own thread only.
        let progress = unsafe { &mut *(user as *mut Progress<'_>) };
        progress(done)
    });
    c_int::from(!go_on)
}
