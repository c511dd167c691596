//! Picking tokens from logits.
use std::fmt;
use std::ptr;

use bitnet_sys as sys;

use crate::error::{call, Result};
use crate::handle::Handle;
use crate::library;
use crate::numbers::c_int;

/// How to pick tokens: bias, penalties, then cut-offs, then a seeded draw. The default is greedy.
///
/// ```
/// let sampling = bitnet::Sampling::new().temperature(0.8).top_k(40).top_p(0.95).seed(7);
/// # bitnet::Sampler::open(&sampling).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Sampling {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    penalty_window: i32,
    seed: u64,
    bias: Vec<(i32, f32)>,
}

impl Sampling {
    /// Greedy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Above 0; 0, the default: greedy, the largest logit, ties to the lowest token.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Keep the `k` largest; 0, the default: all.
    pub fn top_k(mut self, k: u32) -> Self {
        self.top_k = k;
        self
    }

    /// Keep the fewest whose probabilities reach `p`, up to 1; 0, the default, or 1: all.
    pub fn top_p(mut self, p: f32) -> Self {
        self.top_p = p;
        self
    }

    /// Keep those with at least this share of the largest probability, below 1; 0, the default: all.
    pub fn min_p(mut self, p: f32) -> Self {
        self.min_p = p;
        self
    }

    /// Logits of tokens seen are divided by it if positive, else multiplied; 0, the default, or 1: off.
    pub fn repeat_penalty(mut self, factor: f32) -> Self {
        self.repeat_penalty = factor;
        self
    }

    /// Subtracted for each time a token was seen.
    pub fn frequency_penalty(mut self, amount: f32) -> Self {
        self.frequency_penalty = amount;
        self
    }

    /// Subtracted once if a token was seen.
    pub fn presence_penalty(mut self, amount: f32) -> Self {
        self.presence_penalty = amount;
        self
    }

    /// How many of the last tokens count as seen, at most 2^20; 0, the default: 64; -1: all.
    pub fn penalty_window(mut self, tokens: i32) -> Self {
        self.penalty_window = tokens;
        self
    }

    /// The same seed gives the same picks on every machine; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Added to one token's logit before everything else; negative infinity bans the token. May be called for many
    /// tokens, once for each.
    pub fn bias(mut self, token: i32, bias: f32) -> Self {
        self.bias.push((token, bias));
        self
    }

    pub(crate) fn raw_bias(&self) -> Vec<sys::bitnet_logit_bias> {
        self.bias.iter().map(|&(token, bias)| sys::bitnet_logit_bias { token, bias }).collect()
    }

    /// `bias` must live as long as the result is used.
    pub(crate) fn raw(&self, bias: &[sys::bitnet_logit_bias]) -> sys::bitnet_sampler_options {
        sys::bitnet_sampler_options {
            temperature: self.temperature,
            top_k: c_int(self.top_k),
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            penalty_window: self.penalty_window,
            bias_count: u32::try_from(bias.len()).unwrap_or(u32::MAX),
            seed: self.seed,
            bias: if bias.is_empty() { ptr::null() } else { bias.as_ptr() },
            ..Default::default()
        }
    }
}

/// Picks tokens from logits: any logits, not only a model's. `bitnet.h` states each stage to the bit.
///
/// ```
/// use bitnet::{Sampler, Sampling};
/// let mut sampler = Sampler::open(&Sampling::new().temperature(1.0).seed(3))?;
/// let logits = [0.5, 2.0, 1.0];
/// let token = sampler.sample(&logits)?;
/// assert_eq!(sampler.sample(&logits)?, token); // the same until it is accepted
/// sampler.accept(token)?;
/// # Ok::<(), bitnet::Error>(())
/// ```
pub struct Sampler {
    handle: Handle<sys::bitnet_sampler>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("handle", &self.handle.get()).finish()
    }
}

impl Sampler {
    /// Opens a sampler.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): an option is out of its range or a token is biased twice; the
    /// sentence says which.
    pub fn open(sampling: &Sampling) -> Result<Self> {
        library::check()?;
        let bias = sampling.raw_bias();
        let options = sampling.raw(&bias);
        // SAFETY: initialized options, which are copied.
        let handle = Handle::open(
            |sampler, why| unsafe { sys::bitnet_sampler_open(&options, sampler, why) },
            sys::bitnet_sampler_close,
        )?;
        Ok(Self { handle })
    }

    pub(crate) fn raw(&mut self) -> *mut sys::bitnet_sampler {
        self.handle.get_mut()
    }

    /// Picks from 1 to 2^23 logits. The same call again picks the same: [`accept`](Self::accept) is what moves on. A
    /// logit of positive infinity wins outright.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): a logit is NaN, all are negative infinity, or there is none for a
    /// token that has a bias.
    pub fn sample(&mut self, logits: &[f32]) -> Result<i32> {
        let mut token = 0;
        let (first, count) = (logits.as_ptr(), logits.len() as u64);
        // SAFETY: an open sampler, logits with their count.
        call(|why| unsafe { sys::bitnet_sample(self.raw(), first, count, &mut token, why) })?;
        Ok(token)
    }

    /// Tells it that this token was taken: it counts for the penalties, and the next pick is a new draw.
    ///
    /// # Errors
    /// [`Status::ARGUMENT`](crate::Status::ARGUMENT): the number can be no token.
    pub fn accept(&mut self, token: i32) -> Result<()> {
        // SAFETY: an open sampler and any number.
        call(|why| unsafe { sys::bitnet_sampler_accept(self.raw(), token, why) })?;
        Ok(())
    }

    /// Forgets all accepted tokens and starts at the first draw again.
    pub fn reset(&mut self) {
        // SAFETY: an open sampler.
        unsafe { sys::bitnet_sampler_reset(self.raw()) };
    }
}
