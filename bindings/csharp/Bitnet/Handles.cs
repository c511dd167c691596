using System;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Threading;

namespace Bitnet
{
    // Who holds whom: a generator its context, a context its model, each by a reference of the SafeHandle. So whatever
    // order a program disposes in, or the garbage collector finalizes in, the library closes generators first, then
    // contexts, then models, and what C keeps pointers to is let go last.

    internal abstract class Handle : SafeHandle
    {
        private readonly string owner;
        private volatile bool disposed;

        protected Handle(string owner) : base(IntPtr.Zero, true)
        {
            this.owner = owner;
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        internal IntPtr Pointer => handle;

        protected override void Dispose(bool disposing)
        {
            disposed = true; // a SafeHandle counts as open while there are references
            base.Dispose(disposing);
        }

        /// <summary>Keeps it from being closed; ObjectDisposedException if it was disposed of.</summary>
        internal void AddReference()
        {
            if (disposed) throw new ObjectDisposedException(owner);
            bool added = false;
            DangerousAddRef(ref added);
        }
    }

    /// <summary>A handle in use by a call: it is not closed before the end.</summary>
    internal struct Use : IDisposable
    {
        private readonly Handle handle;

        internal Use(Handle handle)
        {
            handle.AddReference();
            this.handle = handle;
        }

        internal IntPtr Pointer => handle.Pointer;

        public void Dispose()
        {
            handle.DangerousRelease();
        }
    }

    /// <summary>One call at a time, or several that only read. A call that does more waits for those that read, and is
    /// the next; while it waits or runs, all others are refused.</summary>
    internal sealed class Gate
    {
        private const int Free = 0, Briefly = -1;
        private const int Taken = 1 << 30; // added to the number of calls that only read

        private readonly string refusal;
        private int state;

        internal Gate(string refusal)
        {
            this.refusal = refusal;
        }

        internal void Enter(bool reads)
        {
            var wait = new SpinWait();
            for (;;)
            {
                int now = Volatile.Read(ref state);
                if (now == Briefly)
                {
                    wait.SpinOnce();
                }
                else if (now >= Taken)
                {
                    throw new InvalidOperationException(refusal);
                }
                else if (Interlocked.CompareExchange(ref state, now + (reads ? 1 : Taken), now) == now)
                {
                    break;
                }
            }
            try
            {
                while (!reads && Volatile.Read(ref state) != Taken) wait.SpinOnce(); // soon sleeps
            }
            catch (ThreadInterruptedException)
            {
                Interlocked.Add(ref state, -Taken);
                throw;
            }
        }

        internal void Leave()
        {
            if (Volatile.Read(ref state) == Taken)
            {
                Interlocked.Exchange(ref state, Free); // a full fence: what comes after sees what others left waiting
            }
            else
            {
                Interlocked.Decrement(ref state);
            }
        }

        /// <summary>For work so short that others rather wait; false when the gate is taken.</summary>
        internal bool TryEnterBriefly()
        {
            return Interlocked.CompareExchange(ref state, Briefly, Free) == Free;
        }

        internal void LeaveBriefly()
        {
            Interlocked.Exchange(ref state, Free);
        }
    }

    internal sealed unsafe class ModelHandle : Handle
    {
        private GCHandle log, bytes;

        /// <summary>log: the target of the log callback; bytes: pinned memory the model lies in. Both may be
        /// empty.</summary>
        internal ModelHandle(bitnet_model* model, GCHandle log, GCHandle bytes) : base(nameof(Model))
        {
            this.log = log;
            this.bytes = bytes;
            SetHandle((IntPtr)model);
        }

        protected override bool ReleaseHandle()
        {
            Native.bitnet_model_close((bitnet_model*)handle);
            if (log.IsAllocated) log.Free();
            if (bytes.IsAllocated) bytes.Free();
            return true;
        }
    }

    internal sealed unsafe class ContextHandle : Handle
    {
        internal readonly Gate Gate = new Gate(
            "the context is in use by another call: one at a time, or several that only read");

        private readonly ModelHandle model;
        private readonly ConcurrentQueue<IntPtr> generatorsToClose = new ConcurrentQueue<IntPtr>();
        private readonly object cancelling = new object();
        private Decoding running;
        private GCHandle executor;

        /// <summary>Takes the reference to the model that the caller added.</summary>
        internal ContextHandle(bitnet_ctx* context, ModelHandle model, GCHandle executor) : base(nameof(Context))
        {
            this.model = model;
            this.executor = executor;
            SetHandle((IntPtr)context);
        }

        protected override bool ReleaseHandle()
        {
            Native.bitnet_ctx_close((bitnet_ctx*)handle);
            if (executor.IsAllocated) executor.Free();
            model.DangerousRelease();
            return true;
        }

        /// <summary>Closes a generator of this context, at once or, while a call is running, when that ends: the
        /// finalizer does not choose its time.</summary>
        internal void CloseGenerator(IntPtr generator)
        {
            generatorsToClose.Enqueue(generator);
            CloseGenerators();
        }

        internal void CloseGenerators()
        {
            while (!generatorsToClose.IsEmpty && Gate.TryEnterBriefly())
            {
                while (generatorsToClose.TryDequeue(out IntPtr generator))
                {
                    Native.bitnet_generate_close((bitnet_generator*)generator);
                    DangerousRelease();
                }
                Gate.LeaveBriefly();
            }
        }

        internal delegate bitnet_status Call(bitnet_ctx* context, bitnet_error* why);

        /// <summary>A call that decodes, alone in the context. OperationCanceledException if it was stopped by the
        /// token or by <see cref="Cancel()"/> while it ran.</summary>
        internal bitnet_status Decode(Call call, CancellationToken cancellation)
        {
            cancellation.ThrowIfCancellationRequested();
            using (var use = new ContextUse(this, false))
            {
                var decoding = new Decoding();
                lock (cancelling) running = decoding;
                bitnet_error why = Why.Empty();
                bitnet_status status;
                try
                {
                    using (cancellation.Register(() => Cancel(decoding)))
                    {
                        // A stop that came too late for the call before waits in the library for this one, which nobody
                        // asked to stop: nothing was done, so it is called again.
                        do status = call(use.Pointer, &why);
                        while (status == bitnet_status.BITNET_E_CANCELLED && !decoding.Stopped && !Callbacks.Threw);
                    }
                }
                finally
                {
                    lock (cancelling) running = null;
                }
                if (status == bitnet_status.BITNET_E_CANCELLED && !Callbacks.Threw)
                {
                    cancellation.ThrowIfCancellationRequested();
                }
                Why.Check(status == bitnet_status.BITNET_DONE ? bitnet_status.BITNET_OK : status, &why);
                return status;
            }
        }

        /// <summary>Stops the call that decodes now; nothing if none does.</summary>
        internal void Cancel()
        {
            Cancel(null);
        }

        private void Cancel(Decoding only)
        {
            lock (cancelling)
            {
                // While a call runs, the context cannot be closed.
                if (running == null || (only != null && running != only)) return;
                running.Stopped = true;
                Native.bitnet_ctx_cancel((bitnet_ctx*)handle);
            }
        }

        private sealed class Decoding
        {
            internal volatile bool Stopped;
        }
    }

    /// <summary>A context in use by a call.</summary>
    internal unsafe struct ContextUse : IDisposable
    {
        private readonly ContextHandle handle;

        internal ContextUse(ContextHandle handle, bool reads)
        {
            handle.AddReference();
            try
            {
                handle.Gate.Enter(reads);
            }
            catch
            {
                handle.CloseGenerators(); // left to it while it waited
                handle.DangerousRelease();
                throw;
            }
            this.handle = handle;
        }

        internal bitnet_ctx* Pointer => (bitnet_ctx*)handle.Pointer;

        public void Dispose()
        {
            handle.Gate.Leave();
            handle.CloseGenerators();
            handle.DangerousRelease();
        }
    }

    internal sealed unsafe class GeneratorHandle : Handle
    {
        internal readonly ContextHandle Context;

        /// <summary>Takes the reference to the context that the caller added.</summary>
        internal GeneratorHandle(bitnet_generator* generator, ContextHandle context) : base(nameof(Generator))
        {
            Context = context;
            SetHandle((IntPtr)generator);
        }

        protected override bool ReleaseHandle()
        {
            Context.CloseGenerator(handle);
            return true;
        }
    }

    internal sealed unsafe class SamplerHandle : Handle
    {
        internal readonly Gate Gate = new Gate("the sampler is in use by another call: one at a time");

        internal SamplerHandle(bitnet_sampler* sampler) : base(nameof(Sampler))
        {
            SetHandle((IntPtr)sampler);
        }

        protected override bool ReleaseHandle()
        {
            Native.bitnet_sampler_close((bitnet_sampler*)handle);
            return true;
        }
    }

    /// <summary>A sampler in use by a call.</summary>
    internal unsafe struct SamplerUse : IDisposable
    {
        private readonly SamplerHandle handle;

        internal SamplerUse(SamplerHandle handle)
        {
            handle.AddReference();
            try
            {
                handle.Gate.Enter(false);
            }
            catch
            {
                handle.DangerousRelease();
                throw;
            }
            this.handle = handle;
        }

        internal bitnet_sampler* Pointer => (bitnet_sampler*)handle.Pointer;

        public void Dispose()
        {
            handle.Gate.Leave();
            handle.DangerousRelease();
        }
    }
}
