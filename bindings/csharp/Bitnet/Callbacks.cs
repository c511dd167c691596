using System;
using System.IO;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;

namespace Bitnet
{
    /// <summary>Fills all of <paramref name="buffer"/> from <paramref name="offset"/> bytes into a model file. Throw
    /// if it cannot be read: the exception comes out of the call that opens.</summary>
    public delegate void ReadAt(long offset, Span<byte> buffer);

    /// <summary>Runs <c>task(0)</c> to <c>task(count - 1)</c>, in any order, side by side or not, and returns when all
    /// have returned. What it leaves undone is done before the library goes on, also when it throws.</summary>
    public delegate void Execute(Action<int> task, int count);

    /// <summary>What the library calls. The user pointer is a GCHandle. No exception crosses into C: it is kept for the
    /// thread, since callbacks run on the thread of the call, and thrown when that call is back. Until then no other
    /// code of the program is called: a call of its own would throw it.</summary>
    internal static unsafe class Callbacks
    {
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void Share(void* argument, int index);

        // The delegates must live as long as C has pointers to them: for good.
        private static readonly bitnet_log_fn LogDelegate = OnLog;
        private static readonly bitnet_progress_fn ProgressDelegate = OnProgress;
        private static readonly bitnet_source_read_at ReadDelegate = OnRead;
        private static readonly bitnet_execute_fn ExecuteDelegate = OnExecute;

        internal static readonly IntPtr Log = Marshal.GetFunctionPointerForDelegate(LogDelegate);
        internal static readonly IntPtr Progress = Marshal.GetFunctionPointerForDelegate(ProgressDelegate);
        internal static readonly IntPtr Read = Marshal.GetFunctionPointerForDelegate(ReadDelegate);
        internal static readonly IntPtr Execute = Marshal.GetFunctionPointerForDelegate(ExecuteDelegate);

        [ThreadStatic] private static ExceptionDispatchInfo thrown;

        /// <summary>A callback of the call that this thread is in threw.</summary>
        internal static bool Threw => thrown != null;

        internal static void Rethrow()
        {
            ExceptionDispatchInfo first = thrown;
            if (first == null) return;
            thrown = null;
            first.Throw();
        }

        private static void Keep(Exception exception)
        {
            if (thrown == null) thrown = ExceptionDispatchInfo.Capture(exception);
        }

        private static T Target<T>(void* user) where T : class
        {
            return (T)GCHandle.FromIntPtr((IntPtr)user).Target;
        }

        private static void OnLog(void* user, bitnet_log_level level, byte* text)
        {
            try
            {
                if (!Threw) Target<Action<LogLevel, string>>(user)((LogLevel)level, Utf8.Text(text));
            }
            catch (Exception exception)
            {
                Keep(exception);
            }
        }

        private static int OnProgress(void* user, double done)
        {
            try
            {
                return !Threw && Target<Opening>(user).GoesOn(done) ? 0 : 1;
            }
            catch (Exception exception)
            {
                Keep(exception);
                return 1;
            }
        }

        private static int OnRead(void* user, ulong offset, void* buffer, ulong bytes)
        {
            const ulong largest = 1 << 30; // a span counts in int
            if (Threw) return 1;
            try
            {
                var read = Target<ReadAt>(user);
                for (ulong done = 0; done < bytes;)
                {
                    ulong part = Math.Min(bytes - done, largest);
                    read((long)(offset + done), new Span<byte>((byte*)buffer + done, (int)part));
                    done += part;
                }
                return 0;
            }
            catch (Exception exception)
            {
                Keep(exception);
                return 1;
            }
        }

        private static void OnExecute(void* user, IntPtr task, void* argument, int count)
        {
            Executor executor = null;
            Shares shares = null;
            try
            {
                executor = Target<Executor>(user);
                shares = new Shares(Marshal.GetDelegateForFunctionPointer<Share>(task), argument, count);
                if (!Threw) executor.Run(shares.Do, count);
            }
            catch (Exception exception)
            {
                Keep(exception);
                executor?.Cancel();
            }
            shares?.Finish(); // null: there was no memory for it, and the call is stopped
        }

        /// <summary>Each task once, whatever the executor does: C counts on it.</summary>
        private sealed class Shares
        {
            private readonly Share task;
            private readonly void* argument;
            private readonly int[] taken;
            private int left;

            internal Shares(Share task, void* argument, int count)
            {
                this.task = task;
                this.argument = argument;
                taken = new int[count];
                left = count;
            }

            internal void Do(int index)
            {
                if (Interlocked.Exchange(ref taken[index], 1) != 0) return;
                task(argument, index);
                Interlocked.Decrement(ref left);
            }

            internal void Finish()
            {
                for (int i = 0; i < taken.Length; ++i) Do(i);
                while (Volatile.Read(ref left) > 0) Thread.Yield(); // a sleep could be interrupted by an exception
            }
        }
    }

    /// <summary>The progress of one opening call.</summary>
    internal sealed class Opening
    {
        private readonly IProgress<double> progress;
        private readonly CancellationToken cancellation;

        internal Opening(IProgress<double> progress, CancellationToken cancellation)
        {
            this.progress = progress;
            this.cancellation = cancellation;
        }

        internal bool GoesOn(double done)
        {
            progress?.Report(done);
            return !cancellation.IsCancellationRequested;
        }
    }

    /// <summary>Who runs a context's tasks. Does not hold the context, whose handle holds it.</summary>
    internal sealed unsafe class Executor
    {
        internal readonly Execute Run;
        internal bitnet_ctx* Context; // null while it is being opened

        internal Executor(Execute run)
        {
            Run = run;
        }

        /// <summary>Only while the context decodes, as it does when its executor runs.</summary>
        internal void Cancel()
        {
            if (Context != null) Native.bitnet_ctx_cancel(Context);
        }
    }

    /// <summary>A stream as something to read from, beginning where it stands.</summary>
    internal sealed class StreamSource
    {
        private readonly Stream stream;
        private readonly long start;
        private readonly byte[] block = new byte[1 << 16];

        internal StreamSource(Stream stream)
        {
            if (stream == null) throw new ArgumentNullException(nameof(stream));
            if (!stream.CanRead || !stream.CanSeek)
            {
                throw new ArgumentException("the stream must be readable and seekable", nameof(stream));
            }
            this.stream = stream;
            start = stream.Position;
        }

        internal long Length => stream.Length - start;

        internal void ReadAt(long offset, Span<byte> buffer)
        {
            stream.Position = start + offset;
            while (buffer.Length > 0)
            {
                int bytes = stream.Read(block, 0, Math.Min(block.Length, buffer.Length));
                if (bytes == 0) throw new EndOfStreamException("the stream ended " + buffer.Length + " bytes early");
                new Span<byte>(block, 0, bytes).CopyTo(buffer);
                buffer = buffer.Slice(bytes);
            }
        }
    }
}
