//! What the tests share: the small model, and loops over it.
#![allow(dead_code)] // each test program uses some of it
use bitnet::{BatchEntry, Context, Generate, Message, Model, Result, Want};

/// The small model that comes with the library.
pub const SMALL_MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../samples/models/bitnet-nano.gguf");

pub fn model() -> Model {
    Model::open(SMALL_MODEL).unwrap()
}

pub fn bytes() -> Vec<u8> {
    std::fs::read(SMALL_MODEL).unwrap()
}

pub fn question() -> [Message<'static>; 1] {
    [Message::user("What is the capital of France?")]
}

pub fn reply(context: &mut Context, options: Generate<'_>) -> Result<String> {
    context.generate(options)?.collect()
}

/// The tokens behind what the sequence holds; the last one wants something.
pub fn batch(context: &Context, tokens: &[i32], sequence: i32, want: Want) -> Vec<BatchEntry> {
    let length = context.sequence_length(sequence) as i32;
    let mut batch: Vec<_> = (length..)
        .zip(tokens)
        .map(|(position, &token)| BatchEntry { token, position, sequence, want: Want::NOTHING })
        .collect();
    batch.last_mut().unwrap().want = want;
    batch
}
