using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace Bitnet
{
    /// <summary>Added to one token's logit before everything else; negative infinity bans the token.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct LogitBias
    {
        /// <summary>Whose logit.</summary>
        public int Token;
        /// <summary>What is added.</summary>
        public float Bias;

        /// <summary>Both.</summary>
        /// <param name="token">Whose logit.</param>
        /// <param name="bias">What is added.</param>
        public LogitBias(int token, float bias)
        {
            Token = token;
            Bias = bias;
        }
    }

    /// <summary>How tokens are picked: bias, penalties, top-k, top-p, min-p, then a seeded draw. All zero:
    /// greedily.</summary>
    public sealed unsafe class SamplerOptions
    {
        /// <summary>Above 0; 0: greedy, the largest logit, ties to the lowest token.</summary>
        public float Temperature { get; set; }
        /// <summary>Keep the k largest; 0: all.</summary>
        public int TopK { get; set; }
        /// <summary>Keep the fewest whose probabilities reach p, below 1; 0 or 1: all.</summary>
        public float TopP { get; set; }
        /// <summary>Keep those with at least this share of the largest probability, below 1; 0: all.</summary>
        public float MinP { get; set; }
        /// <summary>Weakens tokens seen by this factor; 0 or 1: off.</summary>
        public float RepeatPenalty { get; set; }
        /// <summary>Times how often a token was seen, subtracted; 0: off.</summary>
        public float FrequencyPenalty { get; set; }
        /// <summary>Subtracted once if a token was seen; 0: off.</summary>
        public float PresencePenalty { get; set; }
        /// <summary>How many of the last accepted tokens count as seen, at most 2^20; 0: 64; -1: all.</summary>
        public int PenaltyWindow { get; set; }
        /// <summary>The same seed gives the same picks on every machine; 0 is a seed like others.</summary>
        public ulong Seed { get; set; }
        /// <summary>Biased tokens, each once; null: none.</summary>
        public IReadOnlyList<LogitBias> Bias { get; set; }

        internal bitnet_sampler_options* ToNative(Arguments arguments)
        {
            var native = (bitnet_sampler_options*)arguments.Block(sizeof(bitnet_sampler_options));
            *native = new bitnet_sampler_options
            {
                size = (uint)sizeof(bitnet_sampler_options),
                temperature = Temperature,
                top_k = TopK,
                top_p = TopP,
                min_p = MinP,
                repeat_penalty = RepeatPenalty,
                frequency_penalty = FrequencyPenalty,
                presence_penalty = PresencePenalty,
                penalty_window = PenaltyWindow,
                seed = Seed,
            };
            if (Bias is IReadOnlyList<LogitBias> biases)
            {
                native->bias = arguments.Biases(biases, out native->bias_count);
            }
            return native;
        }
    }

    /// <summary>Picks tokens from logits, any logits. One call at a time; others are refused with
    /// <see cref="InvalidOperationException"/>.</summary>
    public sealed unsafe class Sampler : IDisposable
    {
        internal readonly SamplerHandle Handle;

        /// <summary>Opens a sampler.</summary>
        /// <param name="options">Copied; null: greedy.</param>
        /// <exception cref="BitnetException"><see cref="Status.Argument"/>: an option is out of its range, or a token
        /// is biased twice; the message says which.</exception>
        public Sampler(SamplerOptions options = null)
        {
            Library.Require();
            using (var arguments = new Arguments())
            {
                bitnet_error why = Why.Empty();
                bitnet_sampler* sampler = null;
                bitnet_sampler_options* native = (options ?? new SamplerOptions()).ToNative(arguments);
                Why.Check(Native.bitnet_sampler_open(native, &sampler, &why), &why);
                Handle = new SamplerHandle(sampler);
            }
        }

        /// <summary>Closes it. May be called more than once.</summary>
        public void Dispose()
        {
            Handle.Dispose();
        }

        /// <summary>Picks a token. The same call again picks the same; <see cref="Accept"/> moves on.</summary>
        /// <param name="logits">One for each token, not changed.</param>
        /// <exception cref="BitnetException"><see cref="Status.Argument"/>: a logit is no number, all are negative
        /// infinity, or a biased token is not among them.</exception>
        public int Sample(ReadOnlySpan<float> logits)
        {
            fixed (float* first = &MemoryMarshal.GetReference(Spans.Placed(logits)))
            {
                using (var use = new SamplerUse(Handle))
                {
                    bitnet_error why = Why.Empty();
                    int token = 0;
                    Why.Check(Native.bitnet_sample(use.Pointer, first, (ulong)logits.Length, &token, &why), &why);
                    return token;
                }
            }
        }

        /// <summary>Tells the sampler that this token was taken: it counts for the penalties, and the next pick is a
        /// new draw.</summary>
        /// <param name="token">The token taken.</param>
        public void Accept(int token)
        {
            using (var use = new SamplerUse(Handle))
            {
                bitnet_error why = Why.Empty();
                Why.Check(Native.bitnet_sampler_accept(use.Pointer, token, &why), &why);
            }
        }

        /// <summary>Forgets all accepted tokens and starts with the first draw again.</summary>
        public void Reset()
        {
            using (var use = new SamplerUse(Handle)) Native.bitnet_sampler_reset(use.Pointer);
        }
    }
}
