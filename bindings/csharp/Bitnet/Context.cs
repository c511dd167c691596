using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;

namespace Bitnet
{
    /// <summary>How a context is opened. Zero and null mean the library's defaults.</summary>
    public sealed class ContextOptions
    {
        /// <summary>Cached positions, all sequences together, at most 2^24; 0: the model's context length.</summary>
        public int Positions { get; set; }
        /// <summary>Sequences are 0 up to this, at most 1024; 0: 16.</summary>
        public int Sequences { get; set; }
        /// <summary>Tokens computed at once, at most 4096; 0: 256. Changes no bit.</summary>
        public int Batch { get; set; }
        /// <summary>1 to 1024; 0: as many as there are cores. Changes no bit.</summary>
        public int Threads { get; set; }
        /// <summary>Your thread pool, called with count = threads; null: threads of the context's own. If it throws,
        /// the call that decodes is stopped and throws that; what it had done by then is done. Kept until the context
        /// is closed, so it should not hold the context.</summary>
        public Execute Execute { get; set; }
    }

    /// <summary>One token to decode.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct BatchEntry
    {
        /// <summary>0 up to <see cref="ModelInfo.VocabularySize"/>.</summary>
        public int Token;
        /// <summary>In its sequence: its length, then one more for each further entry of that sequence.</summary>
        public int Position;
        /// <summary>0 up to <see cref="ContextOptions.Sequences"/>.</summary>
        public int Sequence;
        /// <summary>What is computed besides keys and values.</summary>
        public Want Want;

        /// <summary>All four.</summary>
        /// <param name="token">The token.</param>
        /// <param name="position">Where in its sequence.</param>
        /// <param name="sequence">Which sequence.</param>
        /// <param name="want">What is computed besides keys and values.</param>
        public BatchEntry(int token, int position, int sequence = 0, Want want = Want.None)
        {
            Token = token;
            Position = position;
            Sequence = sequence;
            Want = want;
        }
    }

    /// <summary>Where decoding happens: a cache of keys and values for some sequences, and some threads. One call at a
    /// time, on any thread; those that only read (<c>Get</c>, <c>Copy</c>, <c>View</c>, <see cref="MatchSequence"/>,
    /// <see cref="SaveSequence"/>) may run side by side. A call that does more first waits for those that read; what
    /// comes while it waits or runs is refused with <see cref="InvalidOperationException"/>. Only
    /// <see cref="Cancel"/> and <see cref="Dispose"/> may come at any time.</summary>
    public sealed unsafe class Context : IDisposable
    {
        private readonly ContextHandle handle;
        private readonly ModelInfo model;

        internal Context(ContextHandle handle, ModelInfo model)
        {
            this.handle = handle;
            this.model = model;
        }

        internal static bitnet_ctx_options ToNative(ContextOptions options)
        {
            return new bitnet_ctx_options
            {
                size = (uint)sizeof(bitnet_ctx_options),
                positions = Number.NotNegative(options.Positions, nameof(options.Positions)),
                sequences = Number.NotNegative(options.Sequences, nameof(options.Sequences)),
                batch = Number.NotNegative(options.Batch, nameof(options.Batch)),
                threads = options.Threads,
            };
        }

        /// <summary>Closes it, or lets the call close it that is running, when that ends. Its generators can no longer
        /// be used. May be called more than once.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Stops the call that decodes in this context now: it throws
        /// <see cref="OperationCanceledException"/> soon, nothing is added, and calling again goes on. Does nothing if
        /// no call decodes, or the context is closed. From any thread, at any time.</summary>
        public void Cancel()
        {
            handle.Cancel();
        }

        /// <summary>Reads a batch: computes each entry's keys and values into the cache, and what the entries want. On
        /// failure no sequence has changed, and the logits of earlier calls are gone.</summary>
        /// <param name="entries">At least one; within a sequence in order, positions without gaps.</param>
        /// <param name="cancellation">Stops it within one layer.</param>
        /// <exception cref="BitnetException"><see cref="Status.Argument"/>: an entry is wrong, the message names it;
        /// <see cref="Status.ContextFull"/>: there is no room for all of them.</exception>
        /// <exception cref="OperationCanceledException">It was stopped.</exception>
        public void Decode(ReadOnlySpan<BatchEntry> entries, CancellationToken cancellation = default)
        {
            var count = (ulong)entries.Length;
            using (var arguments = new Arguments())
            {
                bitnet_batch_entry* list = arguments.Batch(entries);
                handle.Decode((context, why) => Native.bitnet_ctx_decode(context, list, count, why), cancellation);
            }
        }

        /// <summary>Picks the token that follows an entry of the last batch, as <see cref="Sampler.Sample"/> would
        /// from its logits, mostly with less work. The entry must have wanted <see cref="Want.Sample"/> or
        /// <see cref="Want.Logits"/>.</summary>
        /// <param name="entry">Its index in the batch.</param>
        /// <param name="sampler">Picks; tell it with <see cref="Sampler.Accept"/> that its pick was taken.</param>
        /// <param name="count">Only tokens below this; 0: all that have a text.</param>
        /// <param name="cancellation">Stops it.</param>
        /// <exception cref="BitnetException"><see cref="Status.State"/>: the entry wanted neither.</exception>
        public int Sample(int entry, Sampler sampler, int count = 0, CancellationToken cancellation = default)
        {
            if (sampler == null) throw new ArgumentNullException(nameof(sampler));
            ulong index = Number.NotNegative(entry, nameof(entry)), first = Number.NotNegative(count, nameof(count));
            int token = 0;
            int* picked = &token;
            using (var use = new SamplerUse(sampler.Handle))
            {
                bitnet_sampler* picker = use.Pointer;
                handle.Decode((context, why) => Native.bitnet_ctx_sample(context, index, first, picker, picked, why),
                    cancellation);
            }
            return token;
        }

        /// <summary>A copy of the logits of an entry of the last batch that wanted them.</summary>
        /// <param name="entry">Its index in the batch.</param>
        /// <exception cref="BitnetException"><see cref="Status.State"/>: it did not want logits, or there was no
        /// batch.</exception>
        public float[] GetLogits(int entry)
        {
            using (var use = new ContextUse(handle, true)) return Logits(use.Pointer, entry).ToArray();
        }

        /// <summary>The same where you want it.</summary>
        /// <param name="entry">Its index in the batch.</param>
        /// <param name="destination">Room for <see cref="ModelInfo.VocabularySize"/> numbers.</param>
        public void CopyLogits(int entry, Span<float> destination)
        {
            using (var use = new ContextUse(handle, true)) Logits(use.Pointer, entry).CopyTo(destination);
        }

        /// <summary>The same without a copy. The memory is the context's: the view may be read until the next call
        /// that decodes, of the context or one of its generators, and not after <see cref="Dispose"/> or when the
        /// context can be collected (<see cref="GC.KeepAlive"/>).</summary>
        /// <param name="entry">Its index in the batch.</param>
        public ReadOnlySpan<float> ViewLogits(int entry)
        {
            using (var use = new ContextUse(handle, true)) return Logits(use.Pointer, entry);
        }

        /// <summary>A copy of the final hidden state of an entry of the last batch that wanted its embedding.</summary>
        /// <param name="entry">Its index in the batch.</param>
        /// <exception cref="BitnetException"><see cref="Status.State"/>: it did not want it, or there was no
        /// batch.</exception>
        public float[] GetEmbedding(int entry)
        {
            using (var use = new ContextUse(handle, true)) return Embedding(use.Pointer, entry).ToArray();
        }

        /// <summary>The same without a copy; it may be read as long as <see cref="ViewLogits"/>.</summary>
        /// <param name="entry">Its index in the batch.</param>
        public ReadOnlySpan<float> ViewEmbedding(int entry)
        {
            using (var use = new ContextUse(handle, true)) return Embedding(use.Pointer, entry);
        }

        private ReadOnlySpan<float> Logits(bitnet_ctx* context, int entry)
        {
            bitnet_error why = Why.Empty();
            float* row = null;
            Why.Check(Native.bitnet_ctx_logits(context, Number.NotNegative(entry, nameof(entry)), &row, &why), &why);
            return new ReadOnlySpan<float>(row, model.VocabularySize);
        }

        private ReadOnlySpan<float> Embedding(bitnet_ctx* context, int entry)
        {
            bitnet_error why = Why.Empty();
            float* row = null;
            Why.Check(Native.bitnet_ctx_embedding(context, Number.NotNegative(entry, nameof(entry)), &row, &why), &why);
            return new ReadOnlySpan<float>(row, model.Width);
        }

        /// <summary>Positions a sequence holds; 0 for numbers that are no sequences.</summary>
        /// <param name="sequence">Any number.</param>
        public long GetSequenceLength(int sequence = 0)
        {
            using (var use = new ContextUse(handle, true))
            {
                return (long)Native.bitnet_ctx_sequence_length(use.Pointer, sequence);
            }
        }

        /// <summary>How many of the tokens a sequence holds from its start: what need not be decoded again.</summary>
        /// <param name="sequence">Any number.</param>
        /// <param name="tokens">A text.</param>
        public int MatchSequence(int sequence, ReadOnlySpan<int> tokens)
        {
            fixed (int* first = &MemoryMarshal.GetReference(tokens))
            {
                using (var use = new ContextUse(handle, true))
                {
                    return (int)Native.bitnet_ctx_sequence_match(use.Pointer, sequence, first, (ulong)tokens.Length);
                }
            }
        }

        /// <summary>Makes one sequence a copy of another, sharing its memory until one of them grows: cheap.</summary>
        /// <param name="from">What is copied.</param>
        /// <param name="to">What it held is dropped.</param>
        public void ForkSequence(int from, int to)
        {
            using (var use = new ContextUse(handle, false))
            {
                bitnet_error why = Why.Empty();
                Why.Check(Native.bitnet_ctx_sequence_fork(use.Pointer, from, to, &why), &why);
            }
        }

        /// <summary>Keeps the first positions of a sequence, if it has more.</summary>
        /// <param name="sequence">Which.</param>
        /// <param name="positions">How many; 0 empties it.</param>
        public void TruncateSequence(int sequence, long positions)
        {
            ulong first = Number.NotNegative(positions, nameof(positions));
            using (var use = new ContextUse(handle, false))
            {
                bitnet_error why = Why.Empty();
                Why.Check(Native.bitnet_ctx_sequence_truncate(use.Pointer, sequence, first, &why), &why);
            }
        }

        /// <summary>One sequence as bytes, with a checksum, to be loaded into any context of the same model, in another
        /// process or on another machine.</summary>
        /// <param name="sequence">Which.</param>
        public byte[] SaveSequence(int sequence = 0)
        {
            using (var use = new ContextUse(handle, true))
            {
                bitnet_ctx* context = use.Pointer;
                return Query.Bytes((buffer, capacity, size, why) =>
                    Native.bitnet_ctx_save(context, sequence, buffer, capacity, size, why));
            }
        }

        /// <summary>Replaces a sequence by a saved one, all or nothing.</summary>
        /// <param name="sequence">Which.</param>
        /// <param name="saved">What <see cref="SaveSequence"/> gave.</param>
        /// <exception cref="BitnetException"><see cref="Status.Format"/>: it is damaged;
        /// <see cref="Status.Unsupported"/>: it is of another model; <see cref="Status.ContextFull"/>: there is no
        /// room.</exception>
        public void LoadSequence(int sequence, ReadOnlySpan<byte> saved)
        {
            fixed (byte* data = &MemoryMarshal.GetReference(Spans.Placed(saved)))
            {
                using (var use = new ContextUse(handle, false))
                {
                    bitnet_error why = Why.Empty();
                    Why.Check(Native.bitnet_ctx_load(use.Pointer, sequence, data, (ulong)saved.Length, &why), &why);
                }
            }
        }

        /// <summary>What the context has done since it was opened.</summary>
        public ContextStats GetStats()
        {
            using (var use = new ContextUse(handle, true))
            {
                bitnet_error why = Why.Empty();
                var stats = new bitnet_ctx_stats { size = (uint)sizeof(bitnet_ctx_stats) };
                Why.Check(Native.bitnet_ctx_get_stats(use.Pointer, &stats, &why), &why);
                return new ContextStats(&stats);
            }
        }

        /// <summary>A receipt of the work so far, as JSON made from counters: library version, model, instruction set,
        /// hash of all tokens decoded, timings, memory.</summary>
        public string GetReceipt()
        {
            using (var use = new ContextUse(handle, true))
            {
                bitnet_ctx* context = use.Pointer;
                return Query.Text((buffer, capacity, size, why) =>
                    Native.bitnet_ctx_receipt(context, (byte*)buffer, capacity, size, why));
            }
        }

        /// <summary>Prepares a reply; nothing is decoded yet. A context may have several generators, on different
        /// sequences, used in turn. Whatever <see cref="ViewLogits"/> gave before a generator's call is gone after
        /// it.</summary>
        /// <param name="options">What to reply to, and how; copied.</param>
        /// <exception cref="BitnetException"><see cref="Status.ContextFull"/>: the prompt alone is longer than the
        /// context; <see cref="Status.Unsupported"/>: messages, but no chat template is known.</exception>
        public Generator OpenGenerator(GenerateOptions options)
        {
            if (options == null) throw new ArgumentNullException(nameof(options));
            using (var arguments = new Arguments())
            using (var use = new ContextUse(handle, false))
            {
                bitnet_generate_options native = options.ToNative(arguments);
                bitnet_error why = Why.Empty();
                bitnet_generator* generator = null;
                handle.AddReference();
                try
                {
                    Why.Check(Native.bitnet_generate_open(use.Pointer, &native, &generator, &why), &why);
                    return new Generator(new GeneratorHandle(generator, handle));
                }
                catch
                {
                    handle.DangerousRelease();
                    throw;
                }
            }
        }

        /// <summary>A reply, piece by piece. Each enumeration opens a generator and closes it.</summary>
        /// <param name="options">What to reply to, and how.</param>
        /// <param name="cancellation">Stops it: the enumeration throws
        /// <see cref="OperationCanceledException"/>.</param>
        public IEnumerable<string> Generate(GenerateOptions options, CancellationToken cancellation = default)
        {
            if (options == null) throw new ArgumentNullException(nameof(options));
            return Pieces(options, cancellation);
        }

        private IEnumerable<string> Pieces(GenerateOptions options, CancellationToken cancellation)
        {
            using (Generator generator = OpenGenerator(options))
            {
                for (string piece; (piece = generator.NextText(cancellation)) != null;) yield return piece;
            }
        }

        /// <summary>The same without blocking: each step runs on a thread of the pool, also the first, which opens the
        /// generator.</summary>
        /// <param name="options">What to reply to, and how.</param>
        /// <param name="cancellation">Stops it, as the token of <c>WithCancellation</c> does.</param>
        public IAsyncEnumerable<string> GenerateAsync(GenerateOptions options,
            CancellationToken cancellation = default)
        {
            if (options == null) throw new ArgumentNullException(nameof(options));
            return new AsyncPieces(this, options, cancellation);
        }
    }
}
