//! A chat at the terminal or from a pipe, one answer, or a text continued; with the same seed, to the byte what the
//! program `bitnet` prints. The small model is built in.
use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::str::FromStr;

use bitnet::{Context, EndReason, Generate, Generator, LogLevel, Message, Model, ModelOptions, Sampling};

const USAGE: &str = "\
usage: chat [QUESTION...] [options]

Answers a question and ends; or, without one, each line of standard input.
/help lists what else can be typed.

options:
  -m, --model FILE      the model: a GGUF file; without it, the small one built in
  -p, --prompt TEXT     continue this text instead
  --system TEXT         the system message
  -t, --threads N       threads; 0 (default): one for each core
  -n, --max-tokens N    stop after N tokens; 0: no limit (default: none; with -p, 128)
  --temp T              temperature; 0 (default): greedy
  --top-k K             draw from the K likeliest tokens; 0 (default): from all
  --top-p P             draw from the fewest tokens that reach probability P; 0 (default) or 1: all
  --min-p P             drop tokens below P times the largest probability; 0 (default): none
  --seed S              the same seed gives the same text everywhere (default: 0)
  -h, --help            this text
";

const HELP: &str = "\
/reset          forget what was said
/system TEXT    start anew under this system message (without TEXT: under none)
/help           this list
/exit           leave, as the end of input does
Ctrl-C stops a reply; at the prompt it leaves.
";

/// Aligned as the library likes best.
#[repr(align(64))]
struct Aligned<T: ?Sized>(T);
static SMALL_MODEL: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf")));

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const STOPPED_BY_INTERRUPT: u8 = 130; // as shells say it
const NOBODY_READS: u8 = 141;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())) {
        Ok(Some(options)) => options,
        Ok(None) => return show(USAGE).map_or(NOBODY_READS.into(), |()| ExitCode::SUCCESS),
        Err(sentence) => {
            note(&format!("chat: {sentence}; see chat --help\n"));
            return WRONG_USAGE.into();
        }
    };
    match run(&options) {
        Ok(status) => status.into(),
        Err(error) if is_broken_pipe(&*error) => NOBODY_READS.into(),
        Err(error) => {
            note(&format!("chat: {error}\n"));
            FAILED.into()
        }
    }
}

fn run(options: &Options) -> Result<u8> {
    let model = open_model(options)?;
    let mut context = bitnet::ContextOptions::new().threads(options.threads).sequences(1).open(&model)?;
    if let Some(prompt) = &options.prompt {
        return continue_text(&mut context, options, prompt);
    }
    interrupt::cancels(&context);
    let mut chat = Chat { context, options, system: options.system.clone(), turns: Vec::new() };
    chat.prompt_tokens("")?; // a model that cannot chat fails here, not after the first question
    if options.words.is_empty() {
        return chat.answer_lines();
    }
    let whole = chat.answer(&options.words.join(" "))?;
    Ok(if whole { 0 } else { STOPPED_BY_INTERRUPT })
}

fn open_model(options: &Options) -> bitnet::Result<Model> {
    let how = ModelOptions::new().threads(options.threads).log(|level, text| match level {
        LogLevel::ERROR => note(&format!("chat: error: {text}\n")),
        LogLevel::WARNING => note(&format!("chat: warning: {text}\n")),
        _ => {}
    });
    match &options.model {
        Some(path) => how.open(path),
        None => how.open_memory(&SMALL_MODEL.0),
    }
}

fn continue_text(context: &mut Context, options: &Options, prompt: &str) -> Result<u8> {
    let mut reply = context.generate(options.generate(Generate::prompt(prompt), 128))?;
    while let Some(piece) = reply.next_piece()? {
        show(piece)?;
    }
    show("\n")?;
    Ok(0)
}

/// A conversation: what was said so far, within the room the context has.
struct Chat<'a> {
    context: Context,
    options: &'a Options,
    system: String,
    turns: Vec<Turn>,
}

struct Turn {
    question: String,
    reply: String,
}

/// The conversation up to a question, as the model gets it.
fn messages<'a>(system: &'a str, turns: &'a [Turn], question: &'a str) -> Vec<Message<'a>> {
    let system = Some(system).filter(|text| !text.is_empty()).map(Message::system);
    let turns = turns.iter().flat_map(|turn| [Message::user(&turn.question), Message::assistant(&turn.reply)]);
    system.into_iter().chain(turns).chain([Message::user(question)]).collect()
}

impl Chat<'_> {
    /// Answers each line. A question that fails does not end the chat, but shows in the exit status.
    fn answer_lines(&mut self) -> Result<u8> {
        let at_terminal = terminal::is(terminal::INPUT);
        if at_terminal {
            note(&format!("{}. /help lists the commands.\n", self.context.model().info()?.name.escape_debug()));
        }
        let mut status = 0;
        while let Some(line) = read_line()? {
            let (name, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match name {
                _ if line.trim_matches([' ', '\t'].as_slice()).is_empty() => {}
                "/exit" => return Ok(status),
                "/help" => note(HELP),
                "/reset" => self.turns.clear(),
                "/system" => {
                    self.system = rest.to_string();
                    self.turns.clear();
                }
                _ => match self.answer(&line) {
                    Err(error) if error.is::<bitnet::Error>() => {
                        note(&format!("chat: {error}\n"));
                        status = FAILED;
                    }
                    answered => {
                        answered?;
                    }
                },
            }
        }
        if at_terminal {
            show("\n")?;
        }
        Ok(status)
    }

    /// Prints the reply piece by piece; `false` when Ctrl-C ended it early.
    fn answer(&mut self, question: &str) -> Result<bool> {
        self.make_room(question)?;
        let messages = messages(&self.system, &self.turns, question);
        let mut generator = self.context.generate(self.options.generate(Generate::messages(&messages), 0))?;
        let mut reply = String::new();
        let whole = print_reply(&mut generator, &mut reply);
        show("\n")?;
        let whole = whole?;
        let info = generator.info()?;
        if info.end_reason == EndReason::CONTEXT {
            note("chat: the context is full: the reply ends early\n");
        }
        if terminal::is(terminal::ERROR) {
            note_speed(&info);
        }
        // Nothing said is nothing to remember.
        if !reply.is_empty() {
            self.turns.push(Turn { question: question.to_string(), reply });
        }
        Ok(whole)
    }

    fn prompt_tokens(&self, question: &str) -> bitnet::Result<u64> {
        let messages = messages(&self.system, &self.turns, question);
        Ok(self.context.model().chat_tokenize(&messages, None)?.len() as u64)
    }

    /// Drops the oldest turns until the prompt leaves a quarter of the context to the reply (less, if the reply is
    /// limited to less).
    fn make_room(&mut self, question: &str) -> Result<()> {
        let trained = self.context.model().info()?.context_length as u64;
        let positions = self.context.stats()?.positions.min(trained);
        let limit = self.options.max_tokens.filter(|&limit| limit > 0).unwrap_or(u64::MAX);
        let room = limit.min(positions / 4);
        let before = self.turns.len();
        while !self.turns.is_empty() && self.prompt_tokens(question)? + room > positions {
            self.turns.remove(0);
        }
        match before - self.turns.len() {
            0 => {}
            1 => note("chat: the context is full: dropped the oldest turn\n"),
            dropped => note(&format!("chat: the context is full: dropped the oldest {dropped} turns\n")),
        }
        Ok(())
    }
}

fn print_reply(generator: &mut Generator<'_>, reply: &mut String) -> Result<bool> {
    let interrupt = interrupt::Guard::new();
    loop {
        match generator.next_piece() {
            Ok(Some(piece)) => {
                reply.push_str(piece);
                show(piece)?;
            }
            Ok(None) => return Ok(true),
            Err(error) if error.is_cancelled() && interrupt.came() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn note_speed(info: &bitnet::GenerateInfo<'_>) {
    let speed = |tokens: u64, seconds: f64| if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    let (count, computed) = (info.tokens.len(), info.prompt_tokens - info.reused_tokens);
    note(&format!(
        "[{count} tokens, {:.1} tokens/s; prompt {} tokens, {computed} of them computed, {:.1} tokens/s]\n",
        speed(count as u64, info.decode_seconds),
        info.prompt_tokens,
        speed(computed, info.prompt_seconds)
    ));
}

/// The next line of standard input without its end; `None` at the end of input.
fn read_line() -> Result<Option<String>> {
    if terminal::is(terminal::INPUT) && terminal::is(terminal::OUTPUT) {
        show("> ")?;
    }
    let mut line = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    for end in *b"\n\r" {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// On standard output, at once.
fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// On standard error, where nothing can be done about a failure.
fn note(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().map_or(false, |error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[derive(Default)]
struct Options {
    words: Vec<String>,
    model: Option<String>,
    prompt: Option<String>,
    system: String,
    threads: u32,
    max_tokens: Option<u64>,
    sampling: Sampling,
}

impl Options {
    /// `None`: --help.
    fn parse(mut arguments: impl Iterator<Item = String>) -> std::result::Result<Option<Self>, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.words.extend(arguments);
                break;
            }
            if argument.len() < 2 || !argument.starts_with('-') {
                options.words.push(argument);
                continue;
            }
            // --name=value, or the value is the next argument, whatever it looks like.
            let (name, mut attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_string())),
                _ => (argument.as_str(), None),
            };
            if matches!(name, "-h" | "--help") {
                return Ok(None);
            }
            options.set(name, || {
                let value = attached.take().or_else(|| arguments.next());
                value.ok_or_else(|| format!("option {name} needs a value"))
            })?;
        }
        if options.prompt.is_some() && !options.words.is_empty() {
            return Err(format!("'{}' is not expected here", options.words[0]));
        }
        Ok(Some(options))
    }

    /// `text` gives the option's value.
    fn set(
        &mut self,
        name: &str,
        mut text: impl FnMut() -> std::result::Result<String, String>,
    ) -> std::result::Result<(), String> {
        let sampling = self.sampling.clone();
        match name {
            "-m" | "--model" => self.model = Some(text()?),
            "-p" | "--prompt" => self.prompt = Some(text()?),
            "--system" => self.system = text()?,
            "-t" | "--threads" => self.threads = number(name, text()?)?,
            "-n" | "--max-tokens" => self.max_tokens = Some(number(name, text()?)?),
            "--temp" => self.sampling = sampling.temperature(number(name, text()?)?),
            "--top-k" => self.sampling = sampling.top_k(number(name, text()?)?),
            "--top-p" => self.sampling = sampling.top_p(number(name, text()?)?),
            "--min-p" => self.sampling = sampling.min_p(number(name, text()?)?),
            "--seed" => self.sampling = sampling.seed(number(name, text()?)?),
            _ => return Err(format!("unknown option {name}")),
        }
        Ok(())
    }

    fn generate<'a>(&self, prompt: Generate<'a>, default_limit: u64) -> Generate<'a> {
        prompt.sampling(self.sampling.clone()).max_tokens(self.max_tokens.unwrap_or(default_limit))
    }
}

fn number<T: FromStr>(name: &str, text: String) -> std::result::Result<T, String>
where
    T::Err: Display,
{
    text.parse().map_err(|error| format!("option {name}: '{text}': {error}"))
}

/// Ctrl-C that stops a reply instead of the program.
mod interrupt {
    use std::os::raw::c_int;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

    use bitnet::{CancelHandle, Context};

    const SIGINT: c_int = 2;
    const SIG_IGN: usize = 1;

    extern "C" {
        fn signal(number: c_int, handler: usize) -> usize;
    }

    // A signal handler reaches nothing but globals.
    static CANCEL: AtomicPtr<CancelHandle> = AtomicPtr::new(ptr::null_mut());
    static CAME: AtomicBool = AtomicBool::new(false);

    extern "C" fn on_interrupt(_: c_int) {
        CAME.store(true, SeqCst);
        // SAFETY: NULL, or a handle that lives as long as the program. cancel() is made for signal handlers.
        if let Some(cancel) = unsafe { CANCEL.load(SeqCst).as_ref() } {
            cancel.cancel();
        }
    }

    /// From now on this context is what Ctrl-C stops.
    pub fn cancels(context: &Context) {
        CANCEL.store(Box::into_raw(Box::new(context.cancel_handle())), SeqCst);
    }

    /// While it lives, Ctrl-C cancels; before and after, it does what it did. Where it is ignored (a job in the
    /// background) it stays ignored.
    pub struct Guard {
        before: usize,
    }

    impl Guard {
        pub fn new() -> Self {
            CAME.store(false, SeqCst);
            // SAFETY: the handler only stores to atomics and cancels.
            let before = unsafe { signal(SIGINT, on_interrupt as extern "C" fn(c_int) as usize) };
            if before == SIG_IGN {
                unsafe { signal(SIGINT, SIG_IGN) };
            }
            Self { before }
        }

        pub fn came(&self) -> bool {
            CAME.load(SeqCst)
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            // SAFETY: what was there before.
            unsafe { signal(SIGINT, self.before) };
        }
    }
}

mod terminal {
    use std::os::raw::c_int;

    pub const INPUT: c_int = 0;
    pub const OUTPUT: c_int = 1;
    pub const ERROR: c_int = 2;

    extern "C" {
        fn isatty(file: c_int) -> c_int;
    }

    pub fn is(file: c_int) -> bool {
        // SAFETY: takes any number.
        unsafe { isatty(file) == 1 }
    }
}
