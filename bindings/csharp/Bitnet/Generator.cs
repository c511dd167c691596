using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace Bitnet
{
    /// <summary>What to reply to, and how. Exactly one of <see cref="Prompt"/>, <see cref="Messages"/> and
    /// <see cref="Tokens"/>; zero and null elsewhere mean the library's defaults.</summary>
    public sealed unsafe class GenerateOptions
    {
        /// <summary>A text to continue. Control tokens in it are parsed, so it should be yours.</summary>
        public string Prompt { get; set; }
        /// <summary>A conversation to reply to, rendered by the chat template.</summary>
        public IReadOnlyList<Message> Messages { get; set; }
        /// <summary>A text to continue, as tokens.</summary>
        public IReadOnlyList<int> Tokens { get; set; }
        /// <summary>For messages: "bitnet", "llama-3", "falcon3" or "chatml"; null: the model's own.</summary>
        public string Template { get; set; }
        /// <summary>Texts that end the reply, not part of it, not empty; null: none.</summary>
        public IReadOnlyList<string> Stop { get; set; }
        /// <summary>0: until the reply or the context ends.</summary>
        public long MaxTokens { get; set; }
        /// <summary>Null: greedy.</summary>
        public SamplerOptions Sampling { get; set; }
        /// <summary>Which sequence of the context; what it holds and the prompt share is not decoded again.</summary>
        public int Sequence { get; set; }
        /// <summary>Where the text repeats, how many tokens are tried ahead, up to 63; 0: as many as pay; -1: none.
        /// Changes speed, never a token.</summary>
        public int Drafts { get; set; }
        /// <summary>End tokens do not end the reply (for measuring).</summary>
        public bool IgnoreEnd { get; set; }
        /// <summary>Control tokens are shown as their text.</summary>
        public bool ShowSpecial { get; set; }

        internal bitnet_generate_options ToNative(Arguments arguments)
        {
            var native = new bitnet_generate_options
            {
                size = (uint)sizeof(bitnet_generate_options),
                sequence = Sequence,
                template_name = arguments.Text(Template, nameof(Template)),
                max_tokens = Number.NotNegative(MaxTokens, nameof(MaxTokens)),
                sampling = Sampling == null ? null : Sampling.ToNative(arguments),
                flags = (IgnoreEnd ? Native.BITNET_GENERATE_IGNORE_END : 0)
                    | (ShowSpecial ? Native.BITNET_GENERATE_SPECIAL : 0),
                drafts = Drafts,
            };
            if (Prompt is string text) native.prompt = arguments.Text(text, out native.prompt_bytes);
            if (Messages is IReadOnlyList<Message> messages)
            {
                native.messages = arguments.Messages(messages, nameof(Messages), out native.message_count);
            }
            if (Tokens is IReadOnlyList<int> tokens)
            {
                native.tokens = arguments.Numbers(tokens, out native.token_count);
            }
            if (Stop is IReadOnlyList<string> stop)
            {
                native.stop = arguments.Texts(stop, nameof(Stop), out native.stop_count);
            }
            return native;
        }
    }

    /// <summary>A reply being made: prompt or messages in, pieces of text out, pulled one by one. Its calls count as
    /// uses of its context, and it ends with it: afterwards they throw
    /// <see cref="ObjectDisposedException"/>.</summary>
    public sealed unsafe class Generator : IDisposable
    {
        private readonly GeneratorHandle handle;
        private byte* piece;
        private int pieceBytes;
        private string pieceText;

        internal Generator(GeneratorHandle handle)
        {
            this.handle = handle;
        }

        /// <summary>Closes it. What it decoded stays in the context's sequence, so that the next turn of a chat is
        /// quick. May be called more than once, and at any time.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Makes the next piece of the reply, <see cref="Piece"/>; false when the reply is over.</summary>
        /// <param name="cancellation">Stops it; call again to go on where it stopped.</param>
        /// <exception cref="BitnetException"><see cref="Status.ContextFull"/>: other sequences hold the room;
        /// <see cref="Status.Format"/>: the model's file is damaged.</exception>
        /// <exception cref="OperationCanceledException">It was stopped by the token or
        /// <see cref="Context.Cancel"/>.</exception>
        public bool Next(CancellationToken cancellation = default)
        {
            return Step(false, cancellation);
        }

        /// <summary>Makes the next piece and gives it as a string, which no other call can come before; null when the
        /// reply is over.</summary>
        internal string NextText(CancellationToken cancellation)
        {
            return Step(true, cancellation) ? pieceText : null;
        }

        private bool Step(bool withText, CancellationToken cancellation)
        {
            using (var use = new Use(handle))
            {
                var generator = (bitnet_generator*)use.Pointer;
                return handle.Context.Decode((context, why) =>
                {
                    Forget();
                    byte* text = null;
                    ulong bytes = 0;
                    bitnet_status status = Native.bitnet_generate_next(generator, &text, &bytes, why);
                    if (status == bitnet_status.BITNET_OK)
                    {
                        piece = text;
                        pieceBytes = (int)bytes;
                        if (withText) pieceText = Utf8.Text(text, pieceBytes);
                    }
                    return status;
                }, cancellation) == bitnet_status.BITNET_OK;
            }
        }

        private void Forget()
        {
            piece = null;
            pieceBytes = 0;
            pieceText = null;
        }

        /// <summary>The piece that <see cref="Next"/> made: whole characters, never empty; "" when there is
        /// none.</summary>
        public string Piece
        {
            get
            {
                using (new Use(handle))
                using (new ContextUse(handle.Context, true))
                {
                    return pieceText ?? (pieceText = Utf8.Text(piece, pieceBytes));
                }
            }
        }

        /// <summary>The same as UTF-8 without a copy. The memory is the generator's: the view may be read until its
        /// next call, and not after it or its context was disposed of or can be collected
        /// (<see cref="GC.KeepAlive"/>).</summary>
        public ReadOnlySpan<byte> PieceUtf8
        {
            get
            {
                using (new Use(handle))
                using (new ContextUse(handle.Context, true))
                {
                    return new ReadOnlySpan<byte>(piece, pieceBytes);
                }
            }
        }

        /// <summary>What it has done so far, and why the reply ended.</summary>
        public GenerateInfo GetInfo()
        {
            using (var use = new Use(handle))
            using (new ContextUse(handle.Context, true))
            {
                bitnet_error why = Why.Empty();
                var info = new bitnet_generate_info { size = (uint)sizeof(bitnet_generate_info) };
                Why.Check(Native.bitnet_generate_get_info((bitnet_generator*)use.Pointer, &info, &why), &why);
                return new GenerateInfo(&info);
            }
        }
    }

    /// <summary>Replies whose steps are awaited. Written by hand, since C# 7 has no async iterators.</summary>
    internal sealed class AsyncPieces : IAsyncEnumerable<string>
    {
        private readonly Context context;
        private readonly GenerateOptions options;
        private readonly CancellationToken cancellation;

        internal AsyncPieces(Context context, GenerateOptions options, CancellationToken cancellation)
        {
            this.context = context;
            this.options = options;
            this.cancellation = cancellation;
        }

        public IAsyncEnumerator<string> GetAsyncEnumerator(CancellationToken also = default)
        {
            if (!also.CanBeCanceled) return new Enumerator(context, options, cancellation, null);
            if (!cancellation.CanBeCanceled) return new Enumerator(context, options, also, null);
            var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, also);
            return new Enumerator(context, options, either.Token, either);
        }

        private sealed class Enumerator : IAsyncEnumerator<string>
        {
            private readonly Context context;
            private readonly GenerateOptions options;
            private readonly CancellationToken cancellation;
            private readonly IDisposable source;
            private Generator generator;
            private bool disposed;

            internal Enumerator(Context context, GenerateOptions options, CancellationToken cancellation,
                IDisposable source)
            {
                this.context = context;
                this.options = options;
                this.cancellation = cancellation;
                this.source = source;
            }

            public string Current { get; private set; }

            public ValueTask<bool> MoveNextAsync()
            {
                if (disposed) throw new ObjectDisposedException(nameof(Generator));
                return new ValueTask<bool>(Task.Run(() => MoveNext(), cancellation));
            }

            private bool MoveNext()
            {
                // Opened here, since that reads the whole prompt.
                if (generator == null) generator = context.OpenGenerator(options);
                Current = generator.NextText(cancellation);
                return Current != null;
            }

            public ValueTask DisposeAsync()
            {
                disposed = true;
                generator?.Dispose();
                source?.Dispose();
                return default(ValueTask);
            }
        }
    }
}
