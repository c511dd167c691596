//! Threads of the caller's.
use std::os::raw::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::callback;

/// Work that a closure given to [`ContextOptions::execute`](crate::ContextOptions::execute) spreads over threads of
/// its own: as many tasks as the context has threads, each run once, in any order, side by side or not.
///
/// They are gone when the closure returns, so they can be lent to threads that end before, and to no others:
///
/// ```compile_fail,E0521
/// bitnet::ContextOptions::new().execute(|tasks| {
///     std::thread::spawn(move || tasks.run_next());
/// });
/// ```
#[derive(Debug)]
pub struct Tasks {
    task: unsafe extern "C" fn(*mut c_void, i32),
    argument: *mut c_void,
    count: usize,
    next: AtomicUsize,
}

// SAFETY: the library's tasks may run side by side, and each is handed out once.
unsafe impl Sync for Tasks {}

impl Tasks {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Runs one that was not begun yet; `false` when there is none.
    pub fn run_next(&self) -> bool {
        // The first look keeps the counter from ever wrapping around.
        if self.next.load(Relaxed) >= self.count {
            return false;
        }
        let index = self.next.fetch_add(1, Relaxed);
        if index >= self.count {
            return false;
        }
        // SAFETY: an index below the count, for the first time.
        unsafe { (self.task)(self.argument, index as i32) };
        true
    }
}

pub(crate) type Execute = Box<dyn FnMut(&Tasks) + Send>;

/// A `bitnet_execute_fn`; `user` is an [`Execute`]. Returns when all tasks have, whatever the closure does: those it
/// began have returned, since it cannot keep the `&Tasks`, and those it left are run here.
pub(crate) unsafe extern "C" fn execute(
    user: *mut c_void,
    task: Option<unsafe extern "C" fn(*mut c_void, i32)>,
    argument: *mut c_void,
    count: i32,
) {
    let task = match task {
        Some(task) => task,
        None => return,
    };
    let tasks = Tasks { task, argument, count: usize::try_from(count).unwrap_or(0), next: AtomicUsize::new(0) };
    callback::guarded((), || {
        // SAFETY: called by the one call that decodes, on its thread.
        let execute = unsafe { &mut *user.cast::<Execute>() };
        execute(&tasks);
    });
    while tasks.run_next() {}
}
