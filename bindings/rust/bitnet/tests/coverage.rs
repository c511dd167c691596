//! The safe layer has every call of the header.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The names that begin with `bitnet_` in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("bitnet_")).collect()
}

#[test]
fn every_call_is_reachable() {
    let sources: String = fs::read_dir(Path::new(CRATE).join("src"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let raw = fs::read_to_string(Path::new(CRATE).join("../bitnet-sys/src/raw.rs")).unwrap();
    let functions: BTreeSet<&str> =
        raw.lines().filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next()).collect();
    assert!(functions.len() > 40, "{functions:?}");
    let used = names(&sources);
    for function in &functions {
        assert!(used.contains(function), "{function} is not used in src/");
    }
    println!("{} calls", functions.len());
}
