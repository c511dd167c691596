//! Stopping a context's work from elsewhere.
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use bitnet_sys as sys;

/// Stops what a [`Context`](crate::Context) decodes: from any thread, at any time, also when the context is gone.
///
/// ```
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");
/// # let model = bitnet::Model::open(path)?;
/// use bitnet::{Context, Generate, Message};
/// let mut context = Context::open(&model)?;
/// let stop = context.cancel_handle();
/// let ask = [Message::user("Who are you?")];
/// let mut reply = context.generate(Generate::messages(&ask))?;
/// std::thread::spawn(move || stop.cancel()).join().unwrap(); // as a button would
/// assert!(reply.next().unwrap().unwrap_err().is_cancelled());
/// assert!(reply.next().unwrap().is_ok()); // it goes on where it stopped
/// # Ok::<(), bitnet::Error>(())
/// ```
#[derive(Clone)]
pub struct CancelHandle {
    target: Arc<Target>,
}

/// What all handles of a context share with it.
struct Target {
    /// NULL once the context is about to close.
    context: AtomicPtr<sys::bitnet_ctx>,
    /// Calls of cancel() under way. The context closes when there is none that may have seen its address.
    calls: AtomicUsize,
    /// Somebody asked, and neither was the request taken back nor has a call returned CANCELLED since. Set before the
    /// library learns of the request, so that a library that says CANCELLED while this is false tells of one that is
    /// out of date.
    asked: AtomicBool,
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("asked", &self.target.asked).finish_non_exhaustive()
    }
}

impl CancelHandle {
    pub(crate) fn new(context: *mut sys::bitnet_ctx) -> Self {
        let target =
            Target { context: AtomicPtr::new(context), calls: AtomicUsize::new(0), asked: AtomicBool::new(false) };
        Self { target: Arc::new(target) }
    }

    /// Makes the call that is decoding return an error of [`Status::CANCELLED`](crate::Status::CANCELLED) soon: within
    /// one layer of one batch. If none is, the next one returns it, so that a request between two pieces of a reply
    /// stops the reply. What is out of date does no harm: opening a generator takes back requests made before, as
    /// [`Context::discard_cancel`](crate::Context::discard_cancel) does, and however many requests come until a call
    /// returns, they stop that one only.
    ///
    /// Does not wait, lock or allocate: it may be called in a signal handler. Does nothing when the context is gone.
    pub fn cancel(&self) {
        let target = &*self.target;
        // Without this look, callers that keep coming could make close() wait for ever.
        if target.context.load(SeqCst).is_null() {
            return;
        }
        target.calls.fetch_add(1, SeqCst);
        let context = target.context.load(SeqCst);
        if !context.is_null() {
            target.asked.store(true, SeqCst);
            // SAFETY: open, since close() waits for this call; cancelling is allowed at any time from any thread.
            unsafe { sys::bitnet_ctx_cancel(context) };
        }
        target.calls.fetch_sub(1, SeqCst);
    }

    /// Takes back what was asked and not yet done.
    pub(crate) fn discard(&self) {
        self.target.asked.store(false, SeqCst);
    }

    /// Makes a request that the library may have forgotten again.
    pub(crate) fn renew(&self) {
        if self.target.asked.load(SeqCst) {
            self.cancel();
        }
    }

    /// Whether a call that the library cancelled was meant to be.
    pub(crate) fn take(&self) -> bool {
        self.target.asked.swap(false, SeqCst)
    }

    /// After this no handle reaches the context.
    pub(crate) fn close(&self) {
        self.target.context.store(ptr::null_mut(), SeqCst);
        while self.target.calls.load(SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
}
