//! What the Rust compiler makes of `raw.rs` is what the C compiler makes of `bitnet.h`: places and sizes of fields,
//! numbers, signatures. `BITNET_FACTS` names a file with what the C program `tests/bindings/facts.c` prints.
use std::collections::BTreeSet;
use std::mem::{align_of, size_of};

/// `field!(facts, STRUCT, FIELD, "its name in C")`
macro_rules! field {
    ($facts:ident, $type:ident, $field:ident, $name:literal) => {{
        let object = std::mem::MaybeUninit::<$type>::uninit();
        let base = object.as_ptr();
        // SAFETY: only the field's address is taken, within the object.
        let place = unsafe { std::ptr::addr_of!((*base).$field) };
        let offset = place as usize - base as usize;
        $facts.field(stringify!($type), $name, offset, crate::size_behind(place));
    }};
}

mod raw;

fn size_behind<T>(_: *const T) -> usize {
    size_of::<T>()
}

/// How a value travels, in the words of `facts.c`.
pub trait Class {
    const CLASS: &'static str;
}

macro_rules! classes {
    ($($type:ty: $class:literal)*) => {$(impl Class for $type { const CLASS: &'static str = $class; })*};
}
classes! {
    (): "void" i32: "i32" u32: "u32" u64: "u64" f32: "f32" f64: "f64"
    bitnet_sys::bitnet_status: "i32" bitnet_sys::bitnet_log_level: "i32"
}
impl<T> Class for *const T {
    const CLASS: &'static str = "ptr";
}
impl<T> Class for *mut T {
    const CLASS: &'static str = "ptr";
}
/// A function to be called back.
impl<F: Signature> Class for Option<F> {
    const CLASS: &'static str = "ptr";
}

/// A C function's result and parameters.
pub trait Signature {
    fn classes() -> Vec<&'static str>;
}

macro_rules! signatures {
    ($(($($parameter:ident)*))*) => {$(
        impl<R: Class, $($parameter: Class),*> Signature for unsafe extern "C" fn($($parameter),*) -> R {
            fn classes() -> Vec<&'static str> {
                vec![R::CLASS, $($parameter::CLASS),*]
            }
        }
    )*};
}
signatures! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

#[derive(Default)]
pub struct Facts(BTreeSet<String>);

impl Facts {
    fn add(&mut self, fact: String) {
        assert!(self.0.insert(fact.clone()), "twice: {fact}");
    }
    fn structure<T>(&mut self, name: &str) {
        self.add(format!("struct {name} {} {}", size_of::<T>(), align_of::<T>()));
    }
    fn field(&mut self, structure: &str, name: &str, offset: usize, size: usize) {
        self.add(format!("field {structure} {name} {offset} {size}"));
    }
    fn constant(&mut self, name: &str, value: i64) {
        self.add(format!("constant {name} {value}"));
    }
    fn function<F: Signature>(&mut self, name: &str, _: F) {
        self.add(format!("function {name} {}", F::classes().join(" ")));
    }
    fn callback<F: OptionalSignature>(&mut self, name: &str) {
        self.add(format!("callback {name} {}", F::Function::classes().join(" ")));
    }
    fn callback_field<S, F: OptionalSignature>(&mut self, name: &str, _: fn(&S) -> F) {
        self.callback::<F>(name);
    }
}

pub trait OptionalSignature {
    type Function: Signature;
}
impl<F: Signature> OptionalSignature for Option<F> {
    type Function = F;
}

fn rust_facts() -> BTreeSet<String> {
    let mut facts = Facts::default();
    raw::all(&mut facts);
    let [major, minor, patch] =
        [bitnet_sys::BITNET_VERSION_MAJOR, bitnet_sys::BITNET_VERSION_MINOR, bitnet_sys::BITNET_VERSION_PATCH];
    facts.add(format!("version {major}.{minor}.{patch}"));
    facts.0
}

#[test]
fn rust_and_c_agree() {
    let path = match std::env::var("BITNET_FACTS") {
        Ok(path) => path,
        Err(_) => return println!("skipped: BITNET_FACTS does not name what tests/bindings/facts.c prints"),
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let c: BTreeSet<String> = text.lines().map(String::from).collect();
    let rust = rust_facts();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(c == rust, "only in C:\n  {}\nonly in Rust:\n  {}", only(&c, &rust), only(&rust, &c));
    println!("{} facts are the same in C and Rust", rust.len());
}

/// Every `pub` item that bindgen wrote is among the facts, so that none escapes the comparison.
#[test]
fn nothing_in_raw_rs_is_without_a_fact() {
    let facts = rust_facts();
    let known: BTreeSet<&str> = facts.iter().filter_map(|fact| fact.split(' ').nth(1)).collect();
    let handles = ["bitnet_model", "bitnet_ctx", "bitnet_sampler", "bitnet_generator"];
    let raw = include_str!("../../src/raw.rs");
    let mut items = 0;
    for line in raw.lines() {
        let mut words = line.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
        let (visibility, kind, name) = (words.next(), words.next(), words.next().unwrap_or_default());
        if visibility != Some("pub") || !matches!(kind, Some("fn" | "const" | "type" | "struct")) {
            continue;
        }
        items += 1;
        let number = line.contains("struct") && line.ends_with(");"); // an enumeration, known by its members
        assert!(number || handles.contains(&name) || known.contains(name), "no fact about {name}: {line}");
    }
    assert!(items > 100, "only {items} items were found in raw.rs");
}

/// The version is stated in Cargo.toml for cargo, and in the header for everyone else; corrections of the crate alone
/// have patch versions of their own.
#[test]
fn the_package_has_the_version_of_the_header() {
    let version = concat!("version ", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"), ".");
    assert!(rust_facts().iter().any(|fact| fact.starts_with(version)), "the crate is of {version}");
}
