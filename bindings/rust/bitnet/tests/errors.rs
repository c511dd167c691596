//! Everything that goes wrong: files, callers, closures, cancelling. Nothing crashes, leaks or blocks; what failed can
//! be used again. (What cannot go wrong does not compile: see the compile_fail examples of `Context` and `Generator`.)
mod common;

use std::cell::RefCell;
use std::error::Error as _;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc};

use bitnet::{
    BatchEntry, CancelHandle, Context, ContextOptions, EndReason, Error, Generate, Message, Model, ModelOptions,
    Sampler, Sampling, Status, Tasks, Tokenize, Want,
};
use common::{batch, bytes, model, question, reply, SMALL_MODEL};

/// The failure, which must be of this kind and name these.
#[track_caller]
fn refused<T>(result: bitnet::Result<T>, status: Status, named: &[&str]) -> Error {
    let error = result.err().expect("must fail");
    assert_eq!(error.status(), status, "{error}");
    for name in named {
        assert!(error.to_string().contains(name), "'{error}' lacks '{name}'");
    }
    error
}

/// What a closure panics with must reach the caller.
#[track_caller]
fn panics_with(message: &str, call: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("must panic");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&message));
}

#[test]
fn a_missing_file() {
    let error = refused(Model::open("no-such-folder/Grüße.gguf"), Status::IO, &["no-such-folder/Grüße.gguf"]);
    assert_eq!(error.status().name(), "BITNET_E_IO");
    assert!(error.source().is_none());
}

#[test]
fn a_damaged_file() {
    let whole = bytes();
    for length in [0, 3, 4, 100, 5000, whole.len() / 2, whole.len() - 1] {
        let error = refused(ModelOptions::new().open_memory(whole[..length].to_vec()), Status::FORMAT, &[]);
        assert!(error.message().len() > 10, "no sentence for {length} bytes: '{error}'");
    }
    // Any byte of the part that says what follows. Some of them change a text only.
    let (mut opened, mut failed) = (0, 0);
    for at in (0..2000).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x81;
        match ModelOptions::new().describe(true).open_memory(damaged) {
            Ok(model) => {
                opened += 1;
                model.metadata().for_each(|entry| drop((entry.key().into_owned(), entry.text(4).unwrap())));
            }
            Err(error) => {
                failed += 1;
                assert!(!error.message().is_empty());
            }
        }
    }
    assert!(failed > 5, "{opened} damaged files were opened, {failed} refused");
}

#[test]
fn bytes_and_files_are_the_same_model() {
    let file = model().info().unwrap().fingerprint;
    for model in [
        ModelOptions::new().open_memory(Arc::<[u8]>::from(bytes())),
        ModelOptions::new().open_memory(bytes()),
        ModelOptions::new().open_source(Cursor::new(bytes())),
        ModelOptions::new().read(true).open(SMALL_MODEL),
    ] {
        assert_eq!(model.unwrap().info().unwrap().fingerprint, file);
    }
}

#[test]
fn a_context_keeps_model_and_bytes_alive() {
    let shared = Arc::<[u8]>::from(bytes());
    let model = ModelOptions::new().open_memory(shared.clone()).unwrap();
    let mut context = Context::open(&model).unwrap();
    drop(model);
    assert_eq!(Arc::strong_count(&shared), 2);
    assert!(!reply(&mut context, Generate::messages(&question())).unwrap().is_empty());
    drop(context);
    assert_eq!(Arc::strong_count(&shared), 1, "the bytes are released with the last context");
}

#[test]
fn a_model_that_was_only_described_has_no_context() {
    let model = ModelOptions::new().describe(true).open(SMALL_MODEL).unwrap();
    assert!(model.info().unwrap().describe);
    refused(Context::open(&model), Status::STATE, &[]);
    assert!(model.estimate(&ContextOptions::new()).unwrap().total_bytes > 0);
}

/// Reads like a disk that breaks.
struct Broken(Cursor<Vec<u8>>, fn() -> io::Error);
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err((self.1)())
    }
}
impl Seek for Broken {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_source_that_fails_or_panics() {
    let broken = Broken(Cursor::new(bytes()), || io::Error::new(io::ErrorKind::Other, "the disk broke"));
    let error = refused(ModelOptions::new().open_source(broken), Status::IO, &[]);
    assert_eq!(error.source().unwrap().to_string(), "the disk broke");
    panics_with("read_at", || {
        let panicking = Broken(Cursor::new(bytes()), || panic!("read_at"));
        drop(ModelOptions::new().open_source(panicking));
    });
    model(); // nothing of it is left
}

#[test]
fn progress_that_cancels_or_panics() {
    let mut seen = Vec::new();
    let opened = ModelOptions::new().progress(|done| {
        seen.push(done);
        true
    });
    opened.open(SMALL_MODEL).unwrap();
    assert!(!seen.is_empty() && seen.windows(2).all(|pair| pair[0] <= pair[1]), "{seen:?}");
    let error = refused(ModelOptions::new().progress(|_| false).open(SMALL_MODEL), Status::CANCELLED, &[]);
    assert!(error.is_cancelled());
    panics_with("progress", || drop(ModelOptions::new().progress(|_| panic!("progress")).open(SMALL_MODEL)));
    model();
}

/// The small model with a key that the library tolerates and mentions.
fn mentioned() -> Vec<u8> {
    let mut bytes = bytes();
    let key = b"tokenizer.ggml.pre";
    if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
        bytes[at + key.len() - 1] = b'X';
    }
    bytes
}

#[test]
fn a_log_that_panics() {
    let lines = Arc::new(AtomicUsize::new(0));
    let count = lines.clone();
    let counting = ModelOptions::new().log(move |_, text| {
        assert!(!text.is_empty() && !text.ends_with('\n'));
        count.fetch_add(1, SeqCst);
    });
    drop(counting.open_memory(mentioned()).unwrap());
    assert!(lines.load(SeqCst) > 0, "nothing was logged, so nothing can panic");
    assert_eq!(Arc::strong_count(&lines), 1, "the closure is gone with the model");
    panics_with("log", || drop(ModelOptions::new().log(|_, _| panic!("log")).open_memory(mentioned())));
    model();
}

#[test]
fn texts_that_c_cannot_take() {
    let options = ModelOptions::new;
    refused(options().open("a\0b"), Status::ARGUMENT, &["path", "byte 1"]);
    refused(options().isa("\0").open(SMALL_MODEL), Status::ARGUMENT, &["isa"]);
    refused(options().device("cpu\0").open(SMALL_MODEL), Status::ARGUMENT, &["device"]);
    let model = model();
    refused(model.metadata_text("general\0", 1), Status::ARGUMENT, &["key"]);
    refused(model.chat_tokenize(&question(), Some("chatml\0")), Status::ARGUMENT, &["template"]);
    refused(model.chat_render(&[Message { role: "user\0", content: "" }], None), Status::ARGUMENT, &["role"]);
    let mut context = Context::open(&model).unwrap();
    refused(context.generate(Generate::prompt("a").stop("b\0")), Status::ARGUMENT, &["stop"]);
    // Contents and prompts have a length, so a NUL is a character like others, and nothing is cut off.
    let text = "Käse\0und \u{1F9C0}";
    let tokens = model.tokenize(text, Tokenize::PLAIN).unwrap();
    assert_eq!(model.detokenize(&tokens, Default::default()).unwrap(), text.as_bytes());
    assert!(model.chat_render(&[Message::user(text)], None).unwrap().contains(text));
    let whole = context.generate(Generate::prompt(text)).unwrap();
    drop(whole);
    let empty = [Message::user("")];
    assert!(model.chat_tokenize(&empty, None).unwrap().len() > 1);
    for prompt in [Generate::prompt(""), Generate::messages(&empty)] {
        reply(&mut context, prompt.max_tokens(2)).unwrap();
    }
}

#[test]
fn numbers_out_of_range() {
    let model = model();
    refused(ModelOptions::new().threads(u32::MAX).open(SMALL_MODEL), Status::ARGUMENT, &["threads"]);
    refused(ModelOptions::new().isa("z80").open(SMALL_MODEL), Status::UNSUPPORTED, &["z80"]);
    refused(ContextOptions::new().sequences(5000).open(&model), Status::ARGUMENT, &["sequences", "5000"]);
    refused(model.estimate(&ContextOptions::new().batch(1 << 20)), Status::ARGUMENT, &["batch"]);
    refused(Sampler::open(&Sampling::new().top_p(1.5)), Status::ARGUMENT, &["top_p"]);
    refused(Sampler::open(&Sampling::new().bias(1, 1.0).bias(1, 2.0)), Status::ARGUMENT, &["1"]);
    refused(model.detokenize(&[1 << 30], Default::default()), Status::ARGUMENT, &[]);
    refused(model.piece(-1, Default::default()), Status::ARGUMENT, &[]);
    refused(model.metadata_text("no.such.key", 1), Status::NOT_FOUND, &["no.such.key"]);
    refused(model.tensor(usize::MAX), Status::NOT_FOUND, &[]);
    refused(model.chat_tokenize(&[], None), Status::ARGUMENT, &[]);
    refused(model.chat_tokenize(&[Message { role: "poet", content: "" }], None), Status::ARGUMENT, &["poet"]);
    refused(bitnet::measure_machine(1, Some("z80")), Status::UNSUPPORTED, &["z80"]);
    let mut context = Context::open(&model).unwrap();
    let entry = BatchEntry { token: 1, position: 7, sequence: 0, want: Want::NOTHING };
    refused(context.decode(&[entry]), Status::ARGUMENT, &[]);
    refused(context.decode(&[]), Status::ARGUMENT, &[]);
    refused(context.generate(Generate::prompt("a").sequence(99)), Status::ARGUMENT, &["99"]);
    refused(context.sequence_fork(0, 99), Status::ARGUMENT, &["99"]);
    assert_eq!((context.sequence_length(99), context.sequence_match(99, &[1])), (0, 0));
}

#[test]
fn what_was_not_wanted_is_not_there() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let mut sampler = Sampler::open(&Sampling::new()).unwrap();
    refused(context.logits(0), Status::STATE, &[]);
    context.decode(&batch(&context, &[5, 6], 0, Want::NOTHING)).unwrap();
    refused(context.logits(1), Status::STATE, &[]);
    refused(context.embedding(1), Status::STATE, &[]);
    refused(context.logits(2), Status::STATE, &[]);
    refused(context.sample(1, &mut sampler), Status::STATE, &[]);
    refused(sampler.sample(&[]), Status::ARGUMENT, &[]);
    refused(sampler.sample(&[f32::NAN]), Status::ARGUMENT, &[]);
    refused(context.load(0, b"no saved sequence"), Status::FORMAT, &[]);
    let mut replies = context.replies();
    refused(replies.next_piece(0), Status::ARGUMENT, &["0"]);
    let one = replies.open(Generate::prompt("One")).unwrap();
    replies.close(one);
    replies.close(one);
    let two = replies.open(Generate::prompt("Two")).unwrap();
    refused(replies.info(one), Status::ARGUMENT, &["0"]);
    assert!(format!("{replies:?}").contains(&format!("[{two}]")), "{replies:?} keeps a closed reply");
}

#[test]
fn a_full_context() {
    let model = model();
    let mut context = ContextOptions::new().positions(64).sequences(2).open(&model).unwrap();
    let many = vec![5; 100];
    refused(context.decode(&batch(&context, &many, 0, Want::NOTHING)), Status::CONTEXT_FULL, &[]);
    refused(context.generate(Generate::tokens(&many)), Status::CONTEXT_FULL, &["100", "64"]);
    assert_eq!(context.sequence_length(0), 0, "nothing was read");
    // A reply that fills it ends.
    let mut generator = context.generate(Generate::tokens(&many[..60]).ignore_end(true)).unwrap();
    generator.by_ref().for_each(|piece| drop(piece.unwrap()));
    assert_eq!(generator.info().unwrap().end_reason, EndReason::CONTEXT);
    drop(generator);
    // The other sequence has no room then; an iterator fails once and is over.
    let mut generator = context.generate(Generate::tokens(&many[..60]).sequence(1)).unwrap();
    refused(generator.next().unwrap(), Status::CONTEXT_FULL, &[]);
    assert!(generator.next().is_none());
    refused(generator.next_piece(), Status::CONTEXT_FULL, &[]);
    drop(generator);
    context.sequence_truncate(0, 0).unwrap();
    assert!(reply(&mut context, Generate::tokens(&many[..10]).sequence(1).max_tokens(2).ignore_end(true)).is_ok());
}

/// A pool that cancels its own context when it is called for the n-th time: a cancellation at a known place.
fn cancelling_pool(at: usize) -> (Arc<std::sync::Mutex<Option<CancelHandle>>>, impl FnMut(&Tasks) + Send) {
    let handle = Arc::new(std::sync::Mutex::new(None::<CancelHandle>));
    let shared = handle.clone();
    let mut calls = 0;
    let execute = move |tasks: &Tasks| {
        if let Some(handle) = &*shared.lock().unwrap() {
            calls += 1;
            if calls == at {
                handle.cancel();
            }
        }
        while tasks.run_next() {}
    };
    (handle, execute)
}

#[test]
fn cancelled_while_decoding() {
    let model = model();
    let tokens = model.tokenize("The capital of France is a city", Tokenize::SPECIAL).unwrap();
    let mut undisturbed = Context::open(&model).unwrap();
    undisturbed.decode(&batch(&undisturbed, &tokens, 0, Want::LOGITS)).unwrap();

    let (handle, execute) = cancelling_pool(3);
    let mut context = ContextOptions::new().threads(2).execute(execute).open(&model).unwrap();
    *handle.lock().unwrap() = Some(context.cancel_handle());
    let prompt = batch(&context, &tokens, 0, Want::LOGITS);
    let error = refused(context.decode(&prompt), Status::CANCELLED, &[]);
    assert!(error.is_cancelled());
    assert_eq!(context.sequence_length(0), 0, "nothing was added");
    context.decode(&prompt).unwrap();
    assert_eq!(
        context.logits(tokens.len() - 1).unwrap(),
        undisturbed.logits(tokens.len() - 1).unwrap(),
        "it goes on as if nothing had been"
    );
}

#[test]
fn cancelled_replies_go_on() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let whole = reply(&mut context, Generate::messages(&question())).unwrap();
    // In the prompt, and wherever the calls of the pool end up.
    for at in [1, 20, 60, 100, 140] {
        let (handle, execute) = cancelling_pool(at);
        let mut context = ContextOptions::new().threads(2).execute(execute).open(&model).unwrap();
        *handle.lock().unwrap() = Some(context.cancel_handle());
        let question = question();
        let (mut text, mut cancellations) = (String::new(), 0);
        for piece in context.generate(Generate::messages(&question)).unwrap() {
            match piece {
                Ok(piece) => text.push_str(&piece),
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    cancellations += 1;
                }
            }
        }
        assert_eq!((text.as_str(), cancellations), (whole.as_str(), 1), "cancelled at call {at}");
    }
}

#[test]
fn requests_that_are_out_of_date_stop_nothing() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let cancel = context.cancel_handle();
    // Before any reply, and after the end of one.
    for _ in 0..2 {
        cancel.cancel();
        assert!(!reply(&mut context, Generate::messages(&question())).unwrap().is_empty());
    }
    // Between two pieces it is meant for the reply, however often it is made.
    let question = question();
    let mut generator = context.generate(Generate::messages(&question)).unwrap();
    generator.next().unwrap().unwrap();
    (0..3).for_each(|_| cancel.cancel());
    refused(generator.next().unwrap(), Status::CANCELLED, &[]);
    generator.next().unwrap().unwrap();
    drop(generator);
    // A loop of one's own takes it back by itself.
    context.sequence_truncate(0, 0).unwrap();
    cancel.cancel();
    context.discard_cancel();
    context.decode(&batch(&context, &[5, 6], 0, Want::LOGITS | Want::SAMPLE)).unwrap();
    cancel.cancel();
    let mut sampler = Sampler::open(&Sampling::new()).unwrap();
    refused(context.sample(1, &mut sampler), Status::CANCELLED, &[]);
    context.sample(1, &mut sampler).unwrap();
}

#[test]
fn a_cancel_handle_outlives_its_context() {
    let model = model();
    let stop = AtomicBool::new(false);
    for _ in 0..10 {
        let mut context = ContextOptions::new().positions(64).threads(1).open(&model).unwrap();
        stop.store(false, SeqCst);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (handle, stop) = (context.cancel_handle(), &stop);
                scope.spawn(move || {
                    while !stop.load(SeqCst) {
                        handle.cancel();
                    }
                    handle.cancel();
                });
            }
            let _ = context.decode(&batch(&context, &[5, 6, 7], 0, Want::NOTHING));
            drop(context); // while they cancel
            stop.store(true, SeqCst);
        });
    }
}

/// From another thread, while the prompt is read: at once, which is before the pool is called for another layer's work.
#[test]
fn cancelled_from_another_thread() {
    let model = model();
    let (ask, asked) = mpsc::channel::<CancelHandle>();
    let (done, cancelled) = mpsc::channel();
    let canceller = std::thread::spawn(move || {
        for handle in asked {
            handle.cancel();
            done.send(()).unwrap();
        }
    });
    let handle = Arc::new(std::sync::Mutex::new(None::<CancelHandle>));
    let calls = Arc::new(AtomicUsize::new(0));
    let (shared, count) = (handle.clone(), calls.clone());
    let execute = move |tasks: &Tasks| {
        count.fetch_add(1, SeqCst);
        if let Some(handle) = shared.lock().unwrap().take() {
            ask.send(handle).unwrap();
            cancelled.recv().unwrap();
        }
        while tasks.run_next() {}
    };
    let mut context = ContextOptions::new().threads(2).execute(execute).open(&model).unwrap();
    let tokens = [5; 100];
    let prompt = batch(&context, &tokens, 0, Want::LOGITS);
    context.decode(&prompt).unwrap();
    let whole = calls.swap(0, SeqCst);
    context.sequence_truncate(0, 0).unwrap();
    *handle.lock().unwrap() = Some(context.cancel_handle());
    refused(context.decode(&prompt), Status::CANCELLED, &[]);
    let stopped = calls.load(SeqCst);
    let layers = model.info().unwrap().layers;
    assert!(stopped * layers <= whole, "{stopped} of {whole} calls for {layers} layers after it was cancelled");
    drop(context);
    canceller.join().unwrap();
}

#[test]
fn a_pool_that_panics_or_leaves_work() {
    let model = model();
    let mut plain = Context::open(&model).unwrap();
    let whole = reply(&mut plain, Generate::messages(&question())).unwrap();
    let pool = |armed: Arc<AtomicBool>| {
        ContextOptions::new().threads(3).execute(move |tasks| {
            assert_eq!(tasks.count(), 3);
            tasks.run_next();
            if armed.swap(false, SeqCst) {
                panic!("execute");
            }
        })
    };
    let armed = Arc::new(AtomicBool::new(false));
    let mut context = pool(armed.clone()).open(&model).unwrap();
    assert_eq!(reply(&mut context, Generate::messages(&question())).unwrap(), whole);
    armed.store(true, SeqCst);
    panics_with("execute", || drop(reply(&mut context, Generate::messages(&question()))));
    assert_eq!(reply(&mut context, Generate::messages(&question())).unwrap(), whole);
    drop(context);
    assert_eq!(Arc::strong_count(&armed), 1, "the closure is gone with the context");
}

/// Thread-locals are destroyed in the reverse order of their first use: the crate's own before this one.
#[test]
#[allow(clippy::declare_interior_mutable_const)] // clippy 1.63 sees one in thread_local!
fn calls_in_a_destructor_of_a_thread_local() {
    struct AtEnd(Option<(Context, Sampler, Arc<AtomicUsize>, mpsc::Sender<Status>)>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let (mut context, mut sampler, calls, failures) = self.0.take().unwrap();
            failures.send(sampler.accept(-1).unwrap_err().status()).unwrap();
            let before = calls.load(SeqCst);
            context.decode(&batch(&context, &[5, 6], 0, Want::NOTHING)).unwrap();
            assert!(calls.load(SeqCst) > before, "the pool ran and panicked");
            failures.send(context.logits(0).unwrap_err().status()).unwrap();
        }
    }
    thread_local!(static LAST: RefCell<AtEnd> = const { RefCell::new(AtEnd(None)) });
    let (send, failures) = mpsc::channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let thread = std::thread::spawn(move || {
        LAST.with(|_| ());
        let pool = ContextOptions::new().threads(2).execute({
            let count = count.clone();
            move |_| {
                count.fetch_add(1, SeqCst);
                panic!("in a destructor");
            }
        });
        let opened = (pool.open(&model()).unwrap(), Sampler::open(&Sampling::new()).unwrap(), count, send);
        LAST.with(|last| last.borrow_mut().0 = Some(opened));
    });
    thread.join().unwrap();
    assert_eq!(failures.iter().collect::<Vec<_>>(), [Status::ARGUMENT, Status::STATE]);
    assert_eq!(Arc::strong_count(&calls), 1, "the context was dropped");
}

/// For the test of the test: valgrind must see this.
#[test]
#[ignore = "leaks on purpose"]
fn a_leak() {
    std::mem::forget(Context::open(&model()).unwrap());
}
