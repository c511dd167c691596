using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Bitnet
{
    /// <summary>Text of the library as strings.</summary>
    internal static unsafe class Utf8
    {
        /// <summary>A terminated text; null stays null.</summary>
        internal static string Text(byte* text)
        {
            if (text == null) return null;
            int bytes = 0;
            while (text[bytes] != 0) ++bytes;
            return Text(text, bytes);
        }

        /// <summary>Straight from where it lies; bytes that are not UTF-8 become U+FFFD.</summary>
        internal static string Text(byte* text, int bytes)
        {
            return bytes == 0 ? "" : Encoding.UTF8.GetString(text, bytes);
        }
    }

    /// <summary>Memory that a call reads: texts as UTF-8 and arrays, until it is disposed.</summary>
    internal sealed unsafe class Arguments : IDisposable
    {
        private readonly List<IntPtr> blocks = new List<IntPtr>();

        public void Dispose()
        {
            foreach (IntPtr block in blocks) Marshal.FreeHGlobal(block);
            blocks.Clear();
        }

        internal void* Block(long bytes)
        {
            Number.NotNegative(bytes, nameof(bytes)); // a list may count anything
            blocks.Add(IntPtr.Zero);
            IntPtr block = Marshal.AllocHGlobal((IntPtr)Math.Max(bytes, 1));
            blocks[blocks.Count - 1] = block;
            return (void*)block;
        }

        /// <summary>Terminated; null stays null. A zero character would end it early for the library, so it is
        /// refused.</summary>
        internal byte* Text(string text, string name)
        {
            if (text == null) return null;
            int zero = text.IndexOf('\0');
            if (zero >= 0) throw new ArgumentException("there is a zero character at index " + zero, name);
            return Text(text, out ulong _);
        }

        /// <summary>Terminated, and may have zero characters, which count.</summary>
        internal byte* Text(string text, out ulong bytes)
        {
            int size = Encoding.UTF8.GetByteCount(text);
            byte* block = (byte*)Block((long)size + 1);
            if (size > 0)
            {
                fixed (char* characters = text) Encoding.UTF8.GetBytes(characters, text.Length, block, size);
            }
            block[size] = 0;
            bytes = (ulong)size;
            return block;
        }

        // Lists are others' code: what Count says once is room and number, even if the list grows meanwhile.

        internal bitnet_message* Messages(IReadOnlyList<Message> messages, string name, out ulong count)
        {
            if (messages == null) throw new ArgumentNullException(name);
            int size = messages.Count;
            var list = (bitnet_message*)Block((long)size * sizeof(bitnet_message));
            for (int i = 0; i < size; ++i)
            {
                Message message = messages[i] ?? throw new ArgumentNullException(name, "message " + i + " is null");
                list[i].role = Text(message.Role, name);
                list[i].content = Text(message.Content, out list[i].content_bytes);
            }
            count = (ulong)size;
            return list;
        }

        internal byte** Texts(IReadOnlyList<string> texts, string name, out ulong count)
        {
            int size = texts.Count;
            var list = (byte**)Block((long)size * sizeof(byte*));
            for (int i = 0; i < size; ++i) list[i] = Text(texts[i], name);
            count = (ulong)size;
            return list;
        }

        internal int* Numbers(IReadOnlyList<int> numbers, out ulong count)
        {
            int size = numbers.Count;
            var list = (int*)Block((long)size * sizeof(int));
            for (int i = 0; i < size; ++i) list[i] = numbers[i];
            count = (ulong)size;
            return list;
        }

        internal bitnet_logit_bias* Biases(IReadOnlyList<LogitBias> biases, out uint count)
        {
            int size = biases.Count;
            var list = (bitnet_logit_bias*)Block((long)size * sizeof(bitnet_logit_bias));
            for (int i = 0; i < size; ++i)
            {
                LogitBias one = biases[i];
                list[i] = new bitnet_logit_bias { token = one.Token, bias = one.Bias };
            }
            count = (uint)size;
            return list;
        }

        /// <summary>A copy, for C reads an entry again after it has checked it.</summary>
        internal bitnet_batch_entry* Batch(ReadOnlySpan<BatchEntry> entries)
        {
            void* copy = Block((long)entries.Length * sizeof(BatchEntry));
            entries.CopyTo(new Span<BatchEntry>(copy, entries.Length));
            return (bitnet_batch_entry*)copy;
        }
    }

    /// <summary>Spans for calls that take NULL for a mistake.</summary>
    internal static class Spans
    {
        /// <summary>The same, with a place also if it is empty.</summary>
        internal static ReadOnlySpan<T> Placed<T>(ReadOnlySpan<T> span)
        {
            return span.IsEmpty ? new ReadOnlySpan<T>(new T[1], 0, 0) : span;
        }
    }

    /// <summary>Calls that tell the size needed when the buffer is too small.</summary>
    internal static unsafe class Query
    {
        internal delegate bitnet_status Fill(void* buffer, ulong capacity, ulong* size, bitnet_error* why);

        internal static byte[] Bytes(Fill fill)
        {
            int size = Size(fill);
            var bytes = new byte[size];
            fixed (byte* buffer = bytes) Into(fill, buffer, size);
            return bytes;
        }

        internal static int[] Tokens(Fill fill)
        {
            int size = Size(fill);
            var tokens = new int[size];
            fixed (int* buffer = tokens) Into(fill, buffer, size);
            return tokens;
        }

        internal static string Text(Fill fill)
        {
            int size = Size(fill);
            using (var room = new Arguments())
            {
                var buffer = (byte*)room.Block(size);
                Into(fill, buffer, size);
                return Utf8.Text(buffer, size);
            }
        }

        private static int Size(Fill fill)
        {
            bitnet_error why = Why.Empty();
            ulong size = 0;
            bitnet_status status = fill(null, 0, &size, &why);
            if (status != bitnet_status.BITNET_E_BUFFER) Why.Check(status, &why);
            const int longest = 0x7fffffc7; // array there is
            if (size > longest)
            {
                throw new BitnetException(Status.Memory, $"the result has {size} elements, an array at most {longest}");
            }
            return (int)size;
        }

        private static void Into(Fill fill, void* buffer, int size)
        {
            if (size == 0) return;
            bitnet_error why = Why.Empty();
            ulong filled = 0;
            Why.Check(fill(buffer, (ulong)size, &filled, &why), &why);
        }
    }
}
