//! The safe layer has every call of the header, but those that the README says are not needed.
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
    let readme = fs::read_to_string(Path::new(CRATE).join("../README.md")).unwrap();
    let unneeded = readme.split("\n## ").find(|section| section.starts_with("What is left out")).unwrap();
    let raw = fs::read_to_string(Path::new(CRATE).join("../bitnet-sys/src/raw.rs")).unwrap();
    let functions: BTreeSet<&str> =
        raw.lines().filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next()).collect();
    assert!(functions.len() > 50, "{functions:?}");
    let used = names(&sources);
    let left_out: BTreeSet<&str> = names(unneeded).intersection(&functions).copied().collect();
    for function in &functions {
        assert!(
            used.contains(function) != left_out.contains(function),
            "{function} must be used in src/ or be named in README.md under 'What is left out', and not both"
        );
    }
    println!("of {} calls, {} are left out for a reason", functions.len(), left_out.len());
}
