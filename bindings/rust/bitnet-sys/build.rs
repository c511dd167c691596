//! Tells the linker where libbitnet is: in `BITNET_LIB_DIR`, or where pkg-config says.
//!
//! `BITNET_STATIC=1` links the archive instead of the shared library; `CXXSTDLIB` names the C++ library that the archive
//! in `BITNET_LIB_DIR` was built with, if it is not `stdc++`. `PKG_CONFIG` names another pkg-config, which is how to
//! cross-compile. A variable that is empty counts as unset.
use std::env;
use std::path::Path;
use std::process::Command;

#[allow(dead_code, non_camel_case_types)]
#[path = "src/raw.rs"]
mod raw;

fn main() {
    for name in [
        "BITNET_LIB_DIR",
        "BITNET_STATIC",
        "CXXSTDLIB",
        "PKG_CONFIG",
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_LIBDIR",
        "PKG_CONFIG_SYSROOT_DIR",
        "PKG_CONFIG_SYSTEM_LIBRARY_PATH",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    // docs.rs has no libbitnet, and documentation needs none.
    if variable("DOCS_RS").is_some() {
        return;
    }
    let shared = variable("BITNET_STATIC").map_or(true, |value| value == "0");
    let result = match variable("BITNET_LIB_DIR") {
        Some(directory) => link_in(&directory, shared),
        None => link_by_pkg_config(shared),
    };
    if let Err(sentence) = result {
        eprintln!("bitnet-sys: {sentence}");
        std::process::exit(1);
    }
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

/// What the archive needs beside the C and C++ libraries. pkg-config knows it better; this is for `BITNET_LIB_DIR`.
const NEEDED_BY_ARCHIVE: [&str; 5] = ["cjson", "utf8proc", "m", "pthread", "dl"];

fn link_in(directory: &str, shared: bool) -> Result<(), String> {
    // Cargo runs this program in a folder of its own, so a relative path would be looked up where nobody means it.
    if !Path::new(directory).is_absolute() {
        return Err(format!("BITNET_LIB_DIR is {directory}: expected an absolute path"));
    }
    let names: &[&str] = match shared {
        true => &["libbitnet.so", "libbitnet.dylib", "bitnet.lib", "libbitnet.dll.a"],
        false => &["libbitnet.a", "bitnet.lib"],
    };
    if !names.iter().any(|name| Path::new(directory).join(name).exists()) {
        return Err(format!("BITNET_LIB_DIR is {directory}: it has none of {}", names.join(", ")));
    }
    println!("cargo:rustc-link-search=native={directory}");
    link(shared);
    if !shared {
        NEEDED_BY_ARCHIVE.iter().for_each(|name| println!("cargo:rustc-link-lib={name}"));
        println!("cargo:rustc-link-lib={}", variable("CXXSTDLIB").as_deref().unwrap_or("stdc++"));
    }
    Ok(())
}

fn link(shared: bool) {
    println!("cargo:rustc-link-lib={}=bitnet", if shared { "dylib" } else { "static" });
}

fn link_by_pkg_config(shared: bool) -> Result<(), String> {
    // The header's version, not the crate's, which may have corrections of its own.
    let [major, minor, patch] = [raw::BITNET_VERSION_MAJOR, raw::BITNET_VERSION_MINOR, raw::BITNET_VERSION_PATCH];
    let version = format!("{major}.{minor}.{patch}");
    let program = variable("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let mut command = Command::new(&program);
    command.args(["--libs", "--print-errors", &format!("bitnet >= {version}")]);
    if !shared {
        // rustc looks for archives in the folders it is told, not in the linker's own ones, which pkg-config leaves out.
        command.arg("--static").env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1");
    }
    let advice = "Install libbitnet and its development files, let PKG_CONFIG_PATH name the folder of its bitnet.pc, \
                  or set BITNET_LIB_DIR to the folder of the library";
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}. {advice}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        return Err(format!("{program} finds no libbitnet {version} or newer: {reason}. {advice}"));
    }
    for flag in words(&String::from_utf8_lossy(&output.stdout)) {
        obey(&flag, shared);
    }
    Ok(())
}

/// The flags of pkg-config's answer, which it writes for a shell: a backslash goes before what is to be taken as it is.
fn words(answer: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = answer.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => words.last_mut().unwrap().extend(letters.next()),
            _ if letter.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// One flag that pkg-config gave.
fn obey(flag: &str, shared: bool) {
    if let Some(directory) = flag.strip_prefix("-L") {
        println!("cargo:rustc-link-search=native={directory}");
    } else if flag == "-lbitnet" {
        link(shared);
    } else if let Some(name) = flag.strip_prefix("-l") {
        println!("cargo:rustc-link-lib={name}");
    } else if flag == "-pthread" {
        println!("cargo:rustc-link-lib=pthread");
    } else {
        println!("cargo:warning=pkg-config gave {flag} for libbitnet, which bitnet-sys does not understand");
    }
}
