//! What the crate is for, by each of its calls.
mod common;

use std::fmt::Debug;

use bitnet::{
    CancelHandle, Context, ContextOptions, Detokenize, EndReason, Error, Generate, Generator, Head, Message, Model,
    ModelOptions, Replies, Sampler, Sampling, Status, Tasks, Tokenize, Version, Want, Weights,
};
use common::{batch, model, question, reply, SMALL_MODEL};

/// What bitnet.h allows on any thread, and side by side where the handle is const.
#[test]
fn everything_may_be_sent_and_shared() {
    fn is<T: Send + Sync + Debug>() {}
    is::<Model>();
    is::<Context>();
    is::<Sampler>();
    is::<Generator<'_>>();
    is::<Replies<'_>>();
    is::<CancelHandle>();
    is::<Sampling>();
    is::<Generate<'_>>();
    is::<Error>();
    fn is_shared<T: Sync>() {}
    is_shared::<Tasks>();
    fn is_sent<T: Send>() {}
    is_sent::<ContextOptions>(); // its closure is called by one thread at a time
}

#[test]
fn a_reply_by_hand_is_the_generators() {
    let model = model();
    let mut context = ContextOptions::new().sequences(2).open(&model).unwrap();
    let sampling = Sampling::new().temperature(0.9).top_k(50).min_p(0.01).seed(11).repeat_penalty(1.1).bias(7, -3.0);
    let question = question();
    let mut generator = context
        .generate(Generate::messages(&question).sampling(sampling.clone()).ignore_end(true).max_tokens(24))
        .unwrap();
    generator.by_ref().for_each(|piece| drop(piece.unwrap()));
    let tokens = generator.info().unwrap().tokens.to_vec();
    drop(generator);
    assert_eq!(tokens.len(), 24);

    // Sequence 1: screened picks. The same from all logits.
    let mut sampler = Sampler::open(&sampling).unwrap();
    let texts = (0..model.info().unwrap().vocab_size as i32)
        .take_while(|&token| model.piece(token, Detokenize::SPECIAL).map_or(false, |piece| !piece.is_empty()))
        .count();
    let mut next = model.chat_tokenize(&question, None).unwrap();
    let mut picked = Vec::new();
    while picked.len() < tokens.len() {
        let last = next.len() - 1;
        context.decode(&batch(&context, &next, 1, Want::SAMPLE | Want::LOGITS)).unwrap();
        let token = context.sample(last, &mut sampler).unwrap();
        assert_eq!(sampler.sample(context.logits(last).unwrap()).unwrap(), token);
        assert_eq!(context.sample_first(last, texts, &mut sampler).unwrap(), token);
        sampler.accept(token).unwrap();
        picked.push(token);
        next = vec![token];
    }
    assert_eq!(picked, tokens);
    sampler.reset();
    assert_eq!(context.sequence_match(0, &tokens), 0);
}

#[test]
fn sequences_are_saved_loaded_forked_and_cut() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let tokens = model.tokenize("The capital of France", Tokenize::SPECIAL).unwrap();
    context.decode(&batch(&context, &tokens, 0, Want::NOTHING)).unwrap();
    let saved = context.save(0).unwrap();
    context.sequence_fork(0, 1).unwrap();
    context.sequence_truncate(0, 2).unwrap();
    let lengths = |context: &Context| [0, 1, 2].map(|sequence| context.sequence_length(sequence));
    assert_eq!(lengths(&context), [2, tokens.len(), 0]);

    let mut other = Context::open(&model).unwrap();
    other.load(2, &saved).unwrap();
    assert_eq!(other.sequence_match(2, &tokens), tokens.len());
    let more = [tokens[0]];
    context.decode(&batch(&context, &more, 1, Want::LOGITS | Want::EMBEDDING)).unwrap();
    other.decode(&batch(&other, &more, 2, Want::LOGITS | Want::EMBEDDING)).unwrap();
    assert_eq!(context.logits(0).unwrap(), other.logits(0).unwrap());
    assert_eq!(context.embedding(0).unwrap(), other.embedding(0).unwrap());
    let info = model.info().unwrap();
    assert_eq!(context.logits(0).unwrap().len(), info.vocab_size);
    assert_eq!(context.embedding(0).unwrap().len(), info.width);
    let mut damaged = saved;
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(other.load(2, &damaged).unwrap_err().status(), Status::FORMAT);
}

#[test]
fn a_model_describes_itself() {
    let model = ModelOptions::new().weights(Weights::TWO_BIT).head(Head::FULL).threads(1).open(SMALL_MODEL).unwrap();
    let info = model.info().unwrap();
    assert_eq!((info.name, info.family, info.device), ("bitnet-nano", "bitnet-b1.58", "cpu"));
    assert_eq!((info.weights, info.head), (Weights::TWO_BIT, Head::FULL));
    assert_eq!(info.file_bytes, std::fs::metadata(SMALL_MODEL).unwrap().len());
    assert_eq!(info.chat_template, Some("bitnet"));
    assert!(info.eot_token.map_or(false, |token| model.is_end(token)) && !model.is_end(5) && !model.is_end(-1));
    assert_eq!(model.metadata_text("general.name", 0).unwrap(), "bitnet-nano");
    let (first, count) = (model.metadata().next().unwrap(), model.metadata().len());
    assert_eq!(first.text(1).unwrap(), model.metadata_text(&first.key(), 1).unwrap());
    assert!(count > 10 && model.metadata().all(|entry| entry.text(2).is_ok()));
    let tensors: Vec<_> = model.tensors().collect::<Result<_, _>>().unwrap();
    assert_eq!(tensors.len(), model.tensor_count());
    assert!(tensors.iter().any(|tensor| tensor.name == "blk.0.attn_q.weight" && tensor.shape[0] == info.width as u64));
    let estimate = model.estimate(&ContextOptions::new().positions(128)).unwrap();
    let context = ContextOptions::new().positions(128).open(&model).unwrap();
    assert_eq!(context.stats().unwrap().cache_bytes, estimate.cache_bytes);
    assert_eq!(context.stats().unwrap().positions, 128);
}

#[test]
fn text_goes_to_tokens_and_back() {
    let model = model();
    for text in ["", "Hello", "Grüße aus Köln, 東京 \u{1F9C0}\n\ttab", "a\0b"] {
        let tokens = model.tokenize(text, Tokenize::PLAIN).unwrap();
        assert_eq!(model.detokenize(&tokens, Detokenize::PLAIN).unwrap(), text.as_bytes());
        let pieces = tokens.iter().flat_map(|&token| model.piece(token, Detokenize::PLAIN).unwrap().to_vec());
        assert_eq!(pieces.collect::<Vec<u8>>(), text.as_bytes());
    }
    let bytes = [0xff, b'a', 0xc3];
    assert_eq!(model.detokenize(&model.tokenize(bytes, Tokenize::PLAIN).unwrap(), Detokenize::PLAIN).unwrap(), bytes);
    let info = model.info().unwrap();
    let end = String::from_utf8(model.piece(info.eos_token.unwrap(), Detokenize::SPECIAL).unwrap().to_vec()).unwrap();
    assert!(model.piece(info.eos_token.unwrap(), Detokenize::PLAIN).unwrap().is_empty());
    assert_eq!(model.tokenize(&end, Tokenize::PARSE).unwrap(), [info.eos_token.unwrap()]);
    assert!(model.tokenize(&end, Tokenize::PLAIN).unwrap().len() > 1, "{end} in text nobody trusts is just text");
    let begun = model.tokenize("Hello", Tokenize::SPECIAL | Tokenize::PARSE).unwrap();
    assert_eq!(begun[0], info.bos_token.unwrap());
    let messages = [Message::system("Be brief."), Message::user("Hi"), Message::assistant("Yes?"), Message::user("No")];
    let rendered = model.chat_render(&messages, None).unwrap();
    assert!(messages.iter().all(|message| rendered.contains(message.content)), "{rendered}");
    assert_eq!(model.tokenize(&rendered, Tokenize::PARSE).unwrap(), model.chat_tokenize(&messages, None).unwrap());
}

#[test]
fn replies_end_for_a_reason() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let question = question();
    let whole = reply(&mut context, Generate::messages(&question)).unwrap();
    let middle = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop = &whole[middle..middle + 2];
    let plain = Generate::messages(&question);
    for (options, reason, text) in [
        (plain.clone(), EndReason::TOKEN, whole.as_str()),
        (plain.clone().stop("never").stop(stop), EndReason::STOP, whole.split(stop).next().unwrap()),
        (plain.clone().drafts(-1), EndReason::TOKEN, &whole),
        (plain.clone().template("bitnet"), EndReason::TOKEN, &whole),
    ] {
        let mut generator = context.generate(options).unwrap();
        assert_eq!(generator.info().unwrap().end_reason, EndReason::NONE);
        assert_eq!(generator.by_ref().collect::<Result<String, _>>().unwrap(), text);
        assert!(generator.next().is_none());
        assert_eq!(generator.info().unwrap().end_reason, reason);
    }
    let mut generator = context.generate(plain.max_tokens(3)).unwrap();
    while let Some(piece) = generator.next_piece().unwrap() {
        assert!(!piece.is_empty());
    }
    let info = generator.info().unwrap();
    assert_eq!((info.end_reason, info.tokens.len()), (EndReason::LIMIT, 3));
    assert!(info.reused_tokens > 0 && info.reused_tokens < info.prompt_tokens);
}

#[test]
fn replies_in_turn_are_what_they_are_alone() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    let options = |sequence| {
        let sampling = Sampling::new().temperature(1.0).seed(sequence as u64);
        Generate::prompt("Hello")
            .sampling(sampling)
            .sequence(sequence)
            .ignore_end(true)
            .max_tokens(12)
            .show_special(true)
    };
    let alone = [0, 1, 2].map(|sequence| reply(&mut Context::open(&model).unwrap(), options(sequence)).unwrap());
    let mut replies = context.replies();
    let numbers = [0, 1, 2].map(|sequence| replies.open(options(sequence)).unwrap());
    let mut texts = ["", "", ""].map(String::from);
    loop {
        let before = texts.concat().len();
        for (text, number) in texts.iter_mut().zip(numbers) {
            text.push_str(replies.next_piece(number).unwrap().unwrap_or_default());
        }
        if texts.concat().len() == before {
            break;
        }
    }
    assert_eq!(texts, alone);
    assert!(numbers.iter().all(|&number| replies.info(number).unwrap().end_reason == EndReason::LIMIT));
}

#[test]
fn contexts_of_one_model_run_side_by_side() {
    let model = model();
    let expected = reply(&mut Context::open(&model).unwrap(), Generate::messages(&question())).unwrap();
    std::thread::scope(|scope| {
        for count in 1..4 {
            let (model, expected) = (model.clone(), &expected);
            scope.spawn(move || {
                let mut context = ContextOptions::new().threads(count).batch(count * 3).open(&model).unwrap();
                assert_eq!(&reply(&mut context, Generate::messages(&question())).unwrap(), expected);
            });
        }
    });
}

#[test]
fn work_is_counted() {
    let model = model();
    let mut context = Context::open(&model).unwrap();
    reply(&mut context, Generate::messages(&question()).max_tokens(5)).unwrap();
    let stats = context.stats().unwrap();
    assert!(stats.tokens > 5 && stats.batches > 1 && stats.positions_used > 0 && stats.work_bytes > 0);
    let receipt = context.receipt().unwrap();
    assert!(receipt.starts_with('{') && receipt.ends_with('}') && receipt.contains("bitnet-receipt-1"), "{receipt}");
}

#[test]
fn the_library_and_the_machine() {
    let crates = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"), ".");
    assert!(Version::CRATE.to_string().starts_with(crates), "a crate {crates}* made for {}", Version::CRATE);
    assert!(bitnet::version() >= Version::CRATE);
    assert_eq!(bitnet::version().to_string(), bitnet::version_string());
    let names: Vec<_> = bitnet::isa_names().collect();
    assert_eq!(names[0], "reference");
    let model = ModelOptions::new().isa(names[0]).open(SMALL_MODEL).unwrap();
    assert_eq!(model.info().unwrap().isa, names[0]);
    let devices = bitnet::devices().unwrap();
    assert!(devices.len() > 1 && devices[0].name == "cpu" && devices[0].reason.is_none(), "{devices:?}");
    let limits = bitnet::measure_machine(0, None).unwrap();
    assert!(limits.stream_gb_per_s > 0.0 && limits.int8_gmac_per_s > 0.0, "{limits:?}");
}

#[test]
fn numbers_without_a_name_are_kept() {
    let unknown = Status::from_number(-77);
    assert_eq!((unknown.number(), unknown.name()), (-77, "unknown status"));
    assert_eq!(format!("{unknown:?} {:?}", Status::FORMAT), "Status(-77) FORMAT");
    assert_ne!(unknown, Status::FORMAT);
}
