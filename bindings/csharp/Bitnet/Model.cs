using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace Bitnet
{
    /// <summary>How a model is opened. Zero and null mean the library's defaults.</summary>
    public sealed class ModelOptions
    {
        /// <summary>How much is read, and how strictly.</summary>
        public ModelFlags Flags { get; set; }
        /// <summary>"auto" or "cpu"; null: auto. <see cref="ModelInfo.Device"/> says which was taken.</summary>
        public string Device { get; set; }
        /// <summary>One of <see cref="Machine.InstructionSets"/>; null: the best this processor runs.</summary>
        public string InstructionSet { get; set; }
        /// <summary>Threads that prepare the weights, 1 to 1024; 0: as many as there are cores.</summary>
        public int Threads { get; set; }
        /// <summary>How I2_S codes lie.</summary>
        public I2SLayout I2SLayout { get; set; }
        /// <summary>Overrides what the file says.</summary>
        public Activation Activation { get; set; }
        /// <summary>How ternary weights are kept.</summary>
        public Weights Weights { get; set; }
        /// <summary>How the next token is found.</summary>
        public Head Head { get; set; }
        /// <summary>Receives messages, on the thread of the call that logs; null: silence. Kept until the model and all
        /// that was opened from it are closed. What it throws comes out of that call, which does not call it
        /// again.</summary>
        public Action<LogLevel, string> Log { get; set; }
        /// <summary>Is told how much of opening is done, of 1.0, about a hundred times, on the opening thread. An
        /// exception it throws ends the call and comes out of it.</summary>
        public IProgress<double> Progress { get; set; }
    }

    /// <summary>A model: weights, tokenizer, metadata. Immutable once open: any number of threads may use one, and any
    /// number of contexts. Its memory is freed with the last of them, in whatever order they are disposed of.</summary>
    public sealed unsafe class Model : IDisposable
    {
        private readonly ModelHandle handle;
        private ModelInfo info;

        private Model(ModelHandle handle)
        {
            this.handle = handle;
        }

        /// <summary>Opens a GGUF file. Takes about a second per gigabyte, on the calling thread.</summary>
        /// <param name="path">The file.</param>
        /// <param name="options">Null: all defaults.</param>
        /// <param name="cancellation">Looked at whenever there is progress.</param>
        /// <exception cref="BitnetException"><see cref="Status.IO"/>, <see cref="Status.Format"/>,
        /// <see cref="Status.Unsupported"/> or <see cref="Status.Device"/>.</exception>
        /// <exception cref="OperationCanceledException">It was cancelled.</exception>
        public static Model Open(string path, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            if (path == null) throw new ArgumentNullException(nameof(path));
            using (var arguments = new Arguments())
            {
                byte* name = arguments.Text(path, nameof(path));
                return Open((o, model, why) => Native.bitnet_model_open(name, o, model, why), options, cancellation,
                    default(GCHandle));
            }
        }

        /// <summary>The same on a thread of the pool.</summary>
        /// <param name="path">The file.</param>
        /// <param name="options">Null: all defaults. Its callbacks are called on that thread.</param>
        /// <param name="cancellation">Looked at whenever there is progress.</param>
        public static Task<Model> OpenAsync(string path, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            return Task.Run(() => Open(path, options, cancellation), cancellation);
        }

        /// <summary>Opens a model from the bytes of its file, which are pinned, not copied, until the model and all
        /// that was opened from it are closed. Do not change them before.</summary>
        /// <param name="bytes">The whole file.</param>
        /// <param name="options">Null: all defaults.</param>
        /// <param name="cancellation">Looked at whenever there is progress.</param>
        public static Model Open(byte[] bytes, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            if (bytes == null) throw new ArgumentNullException(nameof(bytes));
            GCHandle pinned = GCHandle.Alloc(bytes, GCHandleType.Pinned);
            var data = (void*)pinned.AddrOfPinnedObject();
            var size = (ulong)bytes.LongLength;
            return Open((o, model, why) => Native.bitnet_model_open_memory(data, size, o, model, why), options,
                cancellation, pinned);
        }

        /// <summary>The same from memory of yours, which must stay valid and unchanged until the model and all that was
        /// opened from it are closed.</summary>
        /// <param name="data">Where the file begins.</param>
        /// <param name="bytes">How long it is.</param>
        /// <param name="options">Null: all defaults.</param>
        /// <param name="cancellation">Looked at whenever there is progress.</param>
        public static Model Open(IntPtr data, long bytes, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            ulong size = Number.NotNegative(bytes, nameof(bytes));
            return Open((o, model, why) => Native.bitnet_model_open_memory((void*)data, size, o, model, why),
                options, cancellation, default(GCHandle));
        }

        /// <summary>The same from a stream, which is read once, from where it stands to its end, and not
        /// kept.</summary>
        /// <param name="stream">Readable and seekable.</param>
        /// <param name="options">Null: all defaults.</param>
        /// <param name="cancellation">Looked at whenever there is progress, which begins after reading.</param>
        public static Model Open(Stream stream, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            var source = new StreamSource(stream);
            return Open(source.Length, source.ReadAt, options, cancellation);
        }

        /// <summary>The same from anywhere: an archive, an encrypted file. It is read once, and not kept.</summary>
        /// <param name="bytes">The length of the model file.</param>
        /// <param name="read">Reads it, on the opening thread.</param>
        /// <param name="options">Null: all defaults.</param>
        /// <param name="cancellation">Looked at whenever there is progress, which begins after reading.</param>
        public static Model Open(long bytes, ReadAt read, ModelOptions options = null,
            CancellationToken cancellation = default)
        {
            if (read == null) throw new ArgumentNullException(nameof(read));
            GCHandle reader = GCHandle.Alloc(read);
            try
            {
                var source = new bitnet_source
                {
                    size = (uint)sizeof(bitnet_source),
                    bytes = Number.NotNegative(bytes, nameof(bytes)),
                    read_at = Callbacks.Read,
                    user = (void*)GCHandle.ToIntPtr(reader),
                };
                bitnet_source* from = &source;
                return Open((o, model, why) => Native.bitnet_model_open_source(from, o, model, why), options,
                    cancellation, default(GCHandle));
            }
            finally
            {
                reader.Free();
            }
        }

        private delegate bitnet_status OpenCall(bitnet_model_options* options, bitnet_model** model, bitnet_error* why);

        /// <summary>Owns `bytes` from here on.</summary>
        private static Model Open(OpenCall call, ModelOptions options, CancellationToken cancellation, GCHandle bytes)
        {
            var log = default(GCHandle);
            GCHandle opening = GCHandle.Alloc(new Opening(options?.Progress, cancellation));
            bitnet_model* model = null;
            try
            {
                cancellation.ThrowIfCancellationRequested();
                Library.Require();
                if (options?.Log != null) log = GCHandle.Alloc(options.Log);
                using (var arguments = new Arguments())
                {
                    bitnet_error why = Why.Empty();
                    bitnet_model_options native = ToNative(options ?? new ModelOptions(), arguments);
                    native.progress = Callbacks.Progress;
                    native.progress_user = (void*)GCHandle.ToIntPtr(opening);
                    if (log.IsAllocated)
                    {
                        native.log = Callbacks.Log;
                        native.log_user = (void*)GCHandle.ToIntPtr(log);
                    }
                    bitnet_status status = call(&native, &model, &why);
                    if (status == bitnet_status.BITNET_E_CANCELLED && !Callbacks.Threw)
                    {
                        cancellation.ThrowIfCancellationRequested();
                    }
                    Why.Check(status, &why);
                }
                return new Model(new ModelHandle(model, log, bytes));
            }
            catch
            {
                if (model != null) Native.bitnet_model_close(model); // opened, but its log threw
                if (log.IsAllocated) log.Free();
                if (bytes.IsAllocated) bytes.Free();
                throw;
            }
            finally
            {
                opening.Free();
            }
        }

        private static bitnet_model_options ToNative(ModelOptions options, Arguments arguments)
        {
            return new bitnet_model_options
            {
                size = (uint)sizeof(bitnet_model_options),
                flags = (uint)options.Flags,
                device = arguments.Text(options.Device, nameof(options.Device)),
                isa = arguments.Text(options.InstructionSet, nameof(options.InstructionSet)),
                threads = options.Threads,
                i2s_layout = (int)options.I2SLayout,
                activation = (int)options.Activation,
                weights = (int)options.Weights,
                head = (int)options.Head,
            };
        }

        /// <summary>Closes it. Contexts and generators opened from it stay whole; what else of it is called then throws
        /// <see cref="ObjectDisposedException"/>. May be called more than once.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>What the model is.</summary>
        public ModelInfo Info
        {
            get
            {
                using (var use = new Use(handle))
                {
                    if (info == null)
                    {
                        bitnet_error why = Why.Empty();
                        var native = new bitnet_model_info { size = (uint)sizeof(bitnet_model_info) };
                        Why.Check(Native.bitnet_model_get_info((bitnet_model*)use.Pointer, &native, &why), &why);
                        info = new ModelInfo(&native);
                    }
                    return info;
                }
            }
        }

        /// <summary>The keys of the file's metadata, in its order.</summary>
        public IReadOnlyList<string> MetadataKeys
        {
            get
            {
                using (var use = new Use(handle))
                {
                    var model = (bitnet_model*)use.Pointer;
                    var keys = new string[Native.bitnet_model_metadata_count(model)];
                    for (int i = 0; i < keys.Length; ++i)
                    {
                        keys[i] = Utf8.Text(Native.bitnet_model_metadata_key(model, (ulong)i));
                    }
                    return keys;
                }
            }
        }

        /// <summary>A value of the metadata as text: strings as they are, numbers in decimal, booleans true or false,
        /// arrays as JSON.</summary>
        /// <param name="key">One of <see cref="MetadataKeys"/>.</param>
        /// <param name="maxElements">Of a longer array the rest is written as the string "...".</param>
        /// <exception cref="BitnetException"><see cref="Status.NotFound"/>: no such key.</exception>
        public string GetMetadata(string key, long maxElements = long.MaxValue)
        {
            if (key == null) throw new ArgumentNullException(nameof(key));
            ulong most = Number.NotNegative(maxElements, nameof(maxElements));
            using (var use = new Use(handle))
            using (var arguments = new Arguments())
            {
                var model = (bitnet_model*)use.Pointer;
                byte* name = arguments.Text(key, nameof(key));
                return Query.Text((buffer, capacity, size, why) =>
                    Native.bitnet_model_metadata_text(model, name, most, (byte*)buffer, capacity, size, why));
            }
        }

        /// <summary>The tensors of the file, in its order.</summary>
        public IReadOnlyList<TensorInfo> Tensors
        {
            get
            {
                using (var use = new Use(handle))
                {
                    var model = (bitnet_model*)use.Pointer;
                    var tensors = new TensorInfo[Native.bitnet_model_tensor_count(model)];
                    for (int i = 0; i < tensors.Length; ++i)
                    {
                        bitnet_error why = Why.Empty();
                        var native = new bitnet_tensor_info { size = (uint)sizeof(bitnet_tensor_info) };
                        Why.Check(Native.bitnet_model_tensor(model, (ulong)i, &native, &why), &why);
                        tensors[i] = new TensorInfo(&native);
                    }
                    return tensors;
                }
            }
        }

        /// <summary>Memory that a context would take, before it is opened. Works with
        /// <see cref="ModelFlags.Describe"/>.</summary>
        /// <param name="options">Of the context; null: all defaults.</param>
        public Estimate Estimate(ContextOptions options = null)
        {
            using (var use = new Use(handle))
            {
                bitnet_error why = Why.Empty();
                bitnet_ctx_options native = Context.ToNative(options ?? new ContextOptions());
                var estimate = new bitnet_estimate { size = (uint)sizeof(bitnet_estimate) };
                Why.Check(Native.bitnet_model_estimate((bitnet_model*)use.Pointer, &native, &estimate, &why), &why);
                return new Estimate(&estimate);
            }
        }

        /// <summary>Text to tokens.</summary>
        /// <param name="text">Any text.</param>
        /// <param name="flags">None: plain characters, nothing added.</param>
        public int[] Tokenize(string text, TokenizeFlags flags = TokenizeFlags.None)
        {
            if (text == null) throw new ArgumentNullException(nameof(text));
            using (var arguments = new Arguments())
            {
                byte* utf8 = arguments.Text(text, out ulong bytes);
                return Tokenize(utf8, bytes, flags);
            }
        }

        /// <summary>The same for text that is UTF-8 already; bytes that are not are encoded one by one.</summary>
        /// <param name="utf8">Any text.</param>
        /// <param name="flags">None: plain characters, nothing added.</param>
        public int[] Tokenize(ReadOnlySpan<byte> utf8, TokenizeFlags flags = TokenizeFlags.None)
        {
            fixed (byte* text = &MemoryMarshal.GetReference(utf8)) return Tokenize(text, (ulong)utf8.Length, flags);
        }

        private int[] Tokenize(byte* text, ulong bytes, TokenizeFlags flags)
        {
            using (var use = new Use(handle))
            {
                var model = (bitnet_model*)use.Pointer;
                return Query.Tokens((buffer, capacity, size, why) =>
                    Native.bitnet_tokenize(model, text, bytes, (uint)flags, (int*)buffer, capacity, size, why));
            }
        }

        /// <summary>Tokens to text; the inverse of <see cref="Tokenize(string, TokenizeFlags)"/>. Where the tokens end
        /// inside a character, it becomes U+FFFD: show text as it comes with a <see cref="Generator"/>.</summary>
        /// <param name="tokens">Any tokens of the vocabulary.</param>
        /// <param name="special">Control tokens are shown as their text, else left out.</param>
        public string Detokenize(ReadOnlySpan<int> tokens, bool special = false)
        {
            using (var use = new Use(handle))
            {
                fixed (int* first = &MemoryMarshal.GetReference(tokens))
                {
                    return Query.Text(DetokenizeCall(use.Pointer, first, tokens.Length, special));
                }
            }
        }

        /// <summary>The same as the bytes they are, which may end inside a character.</summary>
        /// <param name="tokens">Any tokens of the vocabulary.</param>
        /// <param name="special">Control tokens are shown as their text, else left out.</param>
        public byte[] DetokenizeUtf8(ReadOnlySpan<int> tokens, bool special = false)
        {
            using (var use = new Use(handle))
            {
                fixed (int* first = &MemoryMarshal.GetReference(tokens))
                {
                    return Query.Bytes(DetokenizeCall(use.Pointer, first, tokens.Length, special));
                }
            }
        }

        private static Query.Fill DetokenizeCall(IntPtr model, int* tokens, int count, bool special)
        {
            uint flags = special ? Native.BITNET_DETOKENIZE_SPECIAL : 0;
            return (buffer, capacity, size, why) => Native.bitnet_detokenize((bitnet_model*)model, tokens, (ulong)count,
                flags, (byte*)buffer, capacity, size, why);
        }

        /// <summary>The bytes one token stands for; they may be part of a character.</summary>
        /// <param name="token">A token of the vocabulary.</param>
        /// <param name="special">A control token gives its text, else nothing.</param>
        public byte[] GetTokenBytes(int token, bool special = false)
        {
            using (var use = new Use(handle))
            {
                bitnet_error why = Why.Empty();
                byte* piece = null;
                ulong bytes = 0;
                Why.Check(Native.bitnet_token_piece((bitnet_model*)use.Pointer, token,
                    special ? Native.BITNET_DETOKENIZE_SPECIAL : 0, &piece, &bytes, &why), &why);
                return new ReadOnlySpan<byte>(piece, (int)bytes).ToArray();
            }
        }

        /// <summary>Whether the token ends a reply (end of text, end of turn); false for numbers that are no
        /// tokens.</summary>
        /// <param name="token">Any number.</param>
        public bool IsEnd(int token)
        {
            using (var use = new Use(handle)) return Native.bitnet_token_is_end((bitnet_model*)use.Pointer, token) != 0;
        }

        /// <summary>Messages as tokens by the model's chat template, up to where the assistant's reply
        /// begins.</summary>
        /// <param name="messages">At least one. Control tokens in them are taken as plain text.</param>
        /// <param name="template">"bitnet", "llama-3", "falcon3" or "chatml"; null: the model's own.</param>
        /// <exception cref="BitnetException"><see cref="Status.Argument"/>: another template, another role, no
        /// messages; <see cref="Status.Unsupported"/>: the model has no known template, or lacks its
        /// tokens.</exception>
        public int[] TokenizeChat(IReadOnlyList<Message> messages, string template = null)
        {
            using (var use = new Use(handle))
            using (var arguments = new Arguments())
            {
                var model = (bitnet_model*)use.Pointer;
                bitnet_message* list = arguments.Messages(messages, nameof(messages), out ulong count);
                byte* name = arguments.Text(template, nameof(template));
                return Query.Tokens((buffer, capacity, size, why) => Native.bitnet_chat_tokenize(model, list,
                    count, name, (int*)buffer, capacity, size, why));
            }
        }

        /// <summary>The same as text, to look at; decode the tokens of <see cref="TokenizeChat"/>, not this.</summary>
        /// <param name="messages">At least one.</param>
        /// <param name="template">As there.</param>
        public string RenderChat(IReadOnlyList<Message> messages, string template = null)
        {
            using (var use = new Use(handle))
            using (var arguments = new Arguments())
            {
                var model = (bitnet_model*)use.Pointer;
                bitnet_message* list = arguments.Messages(messages, nameof(messages), out ulong count);
                byte* name = arguments.Text(template, nameof(template));
                return Query.Text((buffer, capacity, size, why) => Native.bitnet_chat_render(model, list,
                    count, name, (byte*)buffer, capacity, size, why));
            }
        }

        /// <summary>Opens a place to decode in. The model may be disposed of before it.</summary>
        /// <param name="options">Null: all defaults.</param>
        /// <exception cref="BitnetException"><see cref="Status.State"/>: the model was opened with
        /// <see cref="ModelFlags.Describe"/>.</exception>
        public Context OpenContext(ContextOptions options = null)
        {
            ModelInfo about = Info;
            handle.AddReference();
            var executor = default(GCHandle);
            try
            {
                bitnet_error why = Why.Empty();
                bitnet_ctx_options native = Context.ToNative(options ?? new ContextOptions());
                if (options?.Execute != null)
                {
                    executor = GCHandle.Alloc(new Executor(options.Execute));
                    native.execute = Callbacks.Execute;
                    native.execute_user = (void*)GCHandle.ToIntPtr(executor);
                }
                bitnet_ctx* context = null;
                bitnet_status status = Native.bitnet_ctx_open((bitnet_model*)handle.Pointer, &native, &context, &why);
                if (status == bitnet_status.BITNET_OK && Callbacks.Threw) Native.bitnet_ctx_close(context);
                Why.Check(status, &why);
                if (executor.IsAllocated) ((Executor)executor.Target).Context = context;
                return new Context(new ContextHandle(context, handle, executor), about);
            }
            catch
            {
                if (executor.IsAllocated) executor.Free();
                handle.DangerousRelease();
                throw;
            }
        }
    }

    /// <summary>Numbers that C counts without a sign.</summary>
    internal static class Number
    {
        internal static ulong NotNegative(long number, string name)
        {
            if (number < 0) throw new ArgumentOutOfRangeException(name, number, "expected 0 or more");
            return (ulong)number;
        }

        internal static uint NotNegative(int number, string name)
        {
            return (uint)NotNegative((long)number, name);
        }
    }
}
