using System;

namespace Bitnet
{
    /// <summary>A call of the library failed. <see cref="Exception.Message"/> is its sentence, which names the place
    /// and both sides; the objects involved stay usable.</summary>
    public sealed class BitnetException : Exception
    {
        internal BitnetException(Status status, string sentence) : base(sentence)
        {
            Status = status;
        }

        /// <summary>The kind of failure, for programs to decide by.</summary>
        public Status Status { get; }
    }

    /// <summary>The library's answer to a call, before it becomes an exception.</summary>
    internal static unsafe class Why
    {
        internal static bitnet_error Empty()
        {
            return new bitnet_error { size = (uint)sizeof(bitnet_error) };
        }

        /// <summary>Throws what a callback threw during the call, else what the status says, else nothing.</summary>
        internal static void Check(bitnet_status status, bitnet_error* why)
        {
            Callbacks.Rethrow();
            if (status == bitnet_status.BITNET_OK) return;
            string sentence = Utf8.Text(why->message);
            if (status == bitnet_status.BITNET_E_CANCELLED) throw new OperationCanceledException(sentence);
            throw new BitnetException((Status)status, sentence);
        }
    }
}
