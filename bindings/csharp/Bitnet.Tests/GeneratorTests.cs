using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Bitnet.Tests
{
    /// <summary>Replies: whole, piece by piece, awaited, stopped.</summary>
    public static class GeneratorTests
    {
        private static readonly GenerateOptions Endless =
            new GenerateOptions { Prompt = "Once upon a time", IgnoreEnd = true, MaxTokens = 3000 };

        private static GenerateOptions LongPrompt(Model model, int length)
        {
            int token = model.Tokenize("a")[0];
            return new GenerateOptions { Tokens = Enumerable.Repeat(token, length).ToArray(), MaxTokens = 1 };
        }

        /// <summary>A pool whose first run waits, so that a call surely runs until it is told to go on.</summary>
        private sealed class HeldPool
        {
            private readonly ManualResetEventSlim held = new ManualResetEventSlim();
            private readonly ManualResetEventSlim goOn = new ManualResetEventSlim();
            internal int Runs;

            internal ContextOptions Options()
            {
                return new ContextOptions { Threads = 2, Execute = Run };
            }

            private void Run(Action<int> task, int count)
            {
                ++Runs;
                held.Set();
                Soon(() => goOn.IsSet, "being told to go on");
                for (int i = 0; i < count; ++i) task(i);
            }

            internal void WaitUntilHeld()
            {
                Soon(() => held.IsSet, "the pool's first run");
            }

            internal void GoOn()
            {
                goOn.Set();
            }
        }

        /// <summary>Does it on another thread.</summary>
        private static void Elsewhere(Action action)
        {
            var thread = new Thread(() => action());
            thread.Start();
            thread.Join();
        }

        [Test]
        public static void Pieces()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            using (Generator generator = context.OpenGenerator(ModelTests.Ask("What is the capital of France?")))
            {
                Expect.Equal("", generator.Piece, "before the first");
                Expect.Equal(EndReason.None, generator.GetInfo().EndReason);
                var reply = new StringBuilder();
                while (generator.Next())
                {
                    Expect.Equal(generator.Piece, Encoding.UTF8.GetString(generator.PieceUtf8.ToArray()), "both forms");
                    reply.Append(generator.Piece);
                }
                Expect.Equal("The capital of France is Paris.", reply.ToString().Trim(), "the reply");
                Expect.Equal("", generator.Piece, "after the last");
                Expect.True(!generator.Next(), "it stays over");
                GenerateInfo info = generator.GetInfo();
                Expect.Equal(EndReason.Token, info.EndReason);
                Expect.Equal(reply.ToString(), model.Detokenize(info.Tokens.ToArray()), "its tokens");
                Expect.True(info.PromptTokens > 5 && info.ReusedTokens == 0 && info.DecodeSeconds > 0, "counts");
                using (Generator again = context.OpenGenerator(ModelTests.Ask("What is the capital of France?")))
                {
                    again.Next();
                    Expect.True(again.GetInfo().ReusedTokens > 0, "the prompt is in the cache");
                }
            }
        }

        [Test]
        public static void OptionsReachTheLibrary()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                Func<GenerateOptions, string> text = options => string.Concat(context.Generate(options));
                string whole = text(new GenerateOptions { Prompt = "The capital of France is", MaxTokens = 8 });
                int[] tokens = model.Tokenize("The capital of France is", TokenizeFlags.Special);
                Expect.Equal(whole, text(new GenerateOptions { Tokens = tokens, MaxTokens = 8 }), "as tokens");
                var elsewhere = new GenerateOptions { Tokens = tokens, MaxTokens = 8, Drafts = -1, Sequence = 3 };
                Expect.Equal(whole, text(elsewhere), "another sequence");
                string stop = whole.Substring(3, 4);
                var stopped = new GenerateOptions { Tokens = tokens, MaxTokens = 8, Stop = new[] { "nothing", stop } };
                Expect.Equal(whole.Substring(0, whole.IndexOf(stop)), text(stopped), "stopped");
                var warm = new GenerateOptions { Prompt = "Once", MaxTokens = 40,
                    Sampling = new SamplerOptions { Temperature = 1, Seed = 7, Bias = new[] { new LogitBias(1, 2) } } };
                Expect.Equal(text(warm), text(warm), "the same seed");
                var special = new GenerateOptions { Messages = new[] { Message.User("Hello") }, Template = "bitnet",
                    ShowSpecial = true, IgnoreEnd = true, MaxTokens = 60 };
                Expect.True(text(special).Contains("<|"), "control tokens are shown");
                Expect.Fails(Status.Argument, () => context.OpenGenerator(new GenerateOptions()));
                Expect.Fails(Status.Argument, () => context.OpenGenerator(
                    new GenerateOptions { Prompt = "a", Tokens = tokens }));
                Expect.Throws<ArgumentNullException>(() => context.Generate(null));
                Expect.Throws<ArgumentOutOfRangeException>(() => context.OpenGenerator(
                    new GenerateOptions { Prompt = "a", MaxTokens = -1 }));
            }
        }

        [Test]
        public static void LeavingALoopClosesItsGenerator()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(new ContextOptions { Positions = 128 }))
            {
                foreach (string piece in context.Generate(Endless)) break;
                Expect.True(context.GetSequenceLength() > 0, "what it decoded stays");
                context.TruncateSequence(0, 0);
            }
        }

        private static async Task<string> Await(IAsyncEnumerable<string> pieces, CancellationToken cancellation,
            Action<string> each = null)
        {
            var text = new StringBuilder();
            IAsyncEnumerator<string> reply = pieces.GetAsyncEnumerator(cancellation);
            try
            {
                while (await reply.MoveNextAsync())
                {
                    text.Append(reply.Current);
                    each?.Invoke(reply.Current);
                }
            }
            finally
            {
                await reply.DisposeAsync();
            }
            return text.ToString();
        }

        [Test]
        public static void AwaitedPieces()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                GenerateOptions question = ModelTests.Ask("What is the opposite of cold?");
                string expected = string.Concat(context.Generate(question));
                Expect.Equal(expected, Await(context.GenerateAsync(question), default).Result, "awaited");

                var stop = new CancellationTokenSource();
                Cancelled(Await(context.GenerateAsync(Endless, stop.Token), default, p => stop.Cancel()), stop.Token);
                var never = new CancellationTokenSource();
                var also = new CancellationTokenSource();
                Cancelled(Await(context.GenerateAsync(Endless), also.Token, p => also.Cancel()), also.Token);
                Cancelled(Await(context.GenerateAsync(Endless, never.Token), also.Token), null);
                Expect.Equal(expected, Await(context.GenerateAsync(question), default).Result, "after that");
            }
        }

        [Test]
        public static void RefusedStepsLoseNoPiece()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(new ContextOptions { Threads = 1 }))
            {
                var options = new GenerateOptions { Prompt = "Once", IgnoreEnd = true, MaxTokens = 200 };
                string expected = string.Concat(context.Generate(options));
                bool over = false;
                Thread[] others = Enumerable.Range(0, 3).Select(i => new Thread(() =>
                {
                    while (!Volatile.Read(ref over)) Refused(() => context.TruncateSequence(1, 0));
                })).ToArray();
                foreach (Thread other in others) other.Start();
                try
                {
                    for (int round = 0; round < 3; ++round)
                    {
                        int refused = 0;
                        string found = Insist(context, options, ref refused);
                        Expect.Equal(expected, found, $"the reply after {refused} refused steps");
                    }
                }
                finally
                {
                    over = true;
                    foreach (Thread other in others) other.Join();
                }
            }
        }

        /// <summary>The whole reply; a step that is refused is tried again. Some surely are, the first among
        /// them.</summary>
        private static string Insist(Context context, GenerateOptions options, ref int refused)
        {
            var text = new StringBuilder();
            IAsyncEnumerator<string> reply = context.GenerateAsync(options).GetAsyncEnumerator();
            int pieces = 0;
            for (bool more = true; more;)
            {
                if (pieces++ % 50 == 0)
                {
                    using (new InUse(context))
                    {
                        Expect.True(Refused(() => Step(reply)), "a step ran while the context was in use");
                    }
                }
                while (Refused(() => more = Step(reply))) ++refused;
                text.Append(reply.Current);
            }
            reply.DisposeAsync().AsTask().Wait();
            return text.ToString();
        }

        /// <summary>A context in use until this is disposed of: by a call that waits for a token of its
        /// prompt.</summary>
        private sealed class InUse : IReadOnlyList<int>, IDisposable
        {
            private readonly ManualResetEventSlim entered = new ManualResetEventSlim();
            private readonly ManualResetEventSlim over = new ManualResetEventSlim();
            private readonly Thread user;

            internal InUse(Context context)
            {
                var options = new GenerateOptions { Tokens = this, Sequence = 1 };
                user = new Thread(() =>
                {
                    while (!over.IsSet && Refused(() => context.OpenGenerator(options).Dispose())) Thread.Yield();
                });
                user.IsBackground = true; // so that a test that gives up ends
                user.Start();
                Soon(() => entered.IsSet, "a call that takes the context");
            }

            public int Count => 1;

            public int this[int index]
            {
                get
                {
                    entered.Set();
                    over.Wait();
                    return 1;
                }
            }

            public IEnumerator<int> GetEnumerator()
            {
                throw new NotSupportedException();
            }

            IEnumerator IEnumerable.GetEnumerator()
            {
                return GetEnumerator();
            }

            public void Dispose()
            {
                over.Set();
                user.Join();
            }
        }

        /// <summary>Waits for what another thread does as soon as it may run, however late a busy machine lets it: for
        /// a minute, counted in turns of our own, since a machine that holds us up holds up the other, too.</summary>
        private static void Soon(Func<bool> happened, string what)
        {
            for (int turn = 0; !happened(); ++turn)
            {
                Expect.True(turn < 60000, what + ": not within a minute");
                Thread.Sleep(1);
            }
        }

        internal static bool Step(IAsyncEnumerator<string> reply)
        {
            return reply.MoveNextAsync().AsTask().GetAwaiter().GetResult();
        }

        private static bool Refused(Action call)
        {
            try
            {
                call();
                return false;
            }
            catch (InvalidOperationException)
            {
                return true;
            }
        }

        /// <summary>One token, and the thread that reads it.</summary>
        private sealed class Watched : IReadOnlyList<int>
        {
            internal int Reader;

            public int Count => 1;

            public int this[int index]
            {
                get
                {
                    Reader = Thread.CurrentThread.ManagedThreadId;
                    return 1;
                }
            }

            public IEnumerator<int> GetEnumerator()
            {
                throw new NotSupportedException();
            }

            IEnumerator IEnumerable.GetEnumerator()
            {
                return GetEnumerator();
            }
        }

        [Test]
        public static void AwaitedRepliesAreOpenedByTheirFirstStep()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                var tokens = new Watched();
                var options = new GenerateOptions { Tokens = tokens, MaxTokens = 1 };
                Func<IAsyncEnumerator<string>> open = () => context.GenerateAsync(options).GetAsyncEnumerator();
                IAsyncEnumerator<string> reply = open();
                Expect.Equal(0, tokens.Reader, "the thread that opened it, before the first step");
                Step(reply);
                Expect.True(tokens.Reader > 0 && tokens.Reader != Thread.CurrentThread.ManagedThreadId,
                    $"opened by thread {tokens.Reader}, the caller's is {Thread.CurrentThread.ManagedThreadId}");
                reply.DisposeAsync().AsTask().Wait();
                Expect.Throws<ObjectDisposedException>(() => Step(reply), "Generator");
                open().DisposeAsync().AsTask().Wait(); // never opened

                options.Prompt = "not both";
                reply = open();
                Expect.Fails(Status.Argument, () => Step(reply));
                options.Prompt = null;
                Step(reply); // tried again
                Expect.True(reply.Current.Length > 0, "a piece");
                reply.DisposeAsync().AsTask().Wait();
            }
        }

        private static void Cancelled(Task task, CancellationToken? token)
        {
            Expect.True(((IAsyncResult)task).AsyncWaitHandle.WaitOne(60000), "it ends");
            Expect.True(task.IsCanceled, "the task is cancelled, found " + task.Status + " " + task.Exception);
            var exception = Expect.Throws<OperationCanceledException>(() => task.GetAwaiter().GetResult());
            if (token != null) Expect.Equal(token, exception.CancellationToken, "the token");
        }

        [Test]
        public static void AwaitingDoesNotBlock()
        {
            var pool = new HeldPool();
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(pool.Options()))
            {
                var stop = new CancellationTokenSource();
                IAsyncEnumerator<string> reply =
                    context.GenerateAsync(LongPrompt(model, 200), stop.Token).GetAsyncEnumerator();
                ValueTask<bool> first = reply.MoveNextAsync(); // returns though the step is held
                pool.WaitUntilHeld();
                Expect.True(!first.IsCompleted, "the step is still running");
                Expect.Throws<InvalidOperationException>(() => context.GetStats(), "in use");
                stop.Cancel();
                pool.GoOn();
                Cancelled(first.AsTask(), stop.Token);
                Expect.Equal(1, pool.Runs, "runs of the pool until it was stopped");
                reply.DisposeAsync().AsTask().Wait();
            }
        }

        [Test]
        public static void StoppedInALongPromptAndGoesOn()
        {
            int runs = 0, stopAt = 0;
            Action stopNow = null;
            Execute execute = (task, count) =>
            {
                if (++runs == stopAt) Elsewhere(stopNow);
                for (int i = 0; i < count; ++i) task(i);
            };
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(
                new ContextOptions { Threads = 2, Batch = 64, Execute = execute }))
            {
                GenerateOptions prompt = LongPrompt(model, 200);
                string expected = string.Concat(context.Generate(prompt));
                context.TruncateSequence(0, 0);
                stopAt = runs / 2; // in one of the four slices of the prompt
                runs = 0;
                using (Generator generator = context.OpenGenerator(prompt))
                {
                    var stop = new CancellationTokenSource();
                    stopNow = stop.Cancel;
                    var stopped = Expect.Throws<OperationCanceledException>(() => generator.Next(stop.Token));
                    Expect.Equal(stop.Token, stopped.CancellationToken);
                    Expect.Equal(stopAt, runs, "runs of the pool until it was stopped");
                    Expect.Throws<OperationCanceledException>(() => generator.Next(stop.Token));
                    var text = new StringBuilder();
                    while (generator.Next()) text.Append(generator.Piece);
                    Expect.Equal(expected, text.ToString(), "the reply, gone on");
                }
                context.TruncateSequence(0, 0);
                int[] tokens = prompt.Tokens.ToArray();
                stopNow = context.Cancel;
                runs = 0;
                Expect.Throws<OperationCanceledException>(() => context.Decode(ContextTests.Batch(tokens, 0, 1)));
                Expect.Equal(stopAt, runs, "runs of the pool until Cancel stopped it");
                Expect.Equal<long>(0, context.GetSequenceLength(1));
            }
        }

        [Test]
        public static void StoppedBetweenPiecesAndGoesOn()
        {
            StoppedAtAnyMoment(new ContextOptions(), () => { });
            // Now and then in a call for sure: a busy machine may give the other thread no turn in any.
            Context context = null;
            bool stop = false;
            Execute execute = (task, count) =>
            {
                if (stop) context.Cancel();
                stop = false;
                for (int i = 0; i < count; ++i) task(i);
            };
            int calls = 0;
            int stops = StoppedAtAnyMoment(new ContextOptions { Threads = 2, Execute = execute },
                () => stop = calls++ % 10 == 0, opened => context = opened);
            Expect.True(stops > 5, $"only {stops} calls were stopped");
        }

        /// <summary>Makes a reply that is stopped often; how often.</summary>
        private static int StoppedAtAnyMoment(ContextOptions how, Action beforeEachCall, Action<Context> opened = null)
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(how))
            {
                opened?.Invoke(context);
                var options = new GenerateOptions { Prompt = "Once", IgnoreEnd = true, MaxTokens = 120, Drafts = -1 };
                string expected = string.Concat(context.Generate(options));
                // Stops that come at any moment: in a call, between calls, just behind one.
                bool over = false;
                int stops = 0;
                var stopper = new Thread(() =>
                {
                    var random = new Random(3);
                    while (!Volatile.Read(ref over))
                    {
                        context.Cancel();
                        Thread.SpinWait(random.Next(20000));
                    }
                });
                stopper.Start();
                var text = new StringBuilder();
                using (Generator generator = context.OpenGenerator(options))
                {
                    for (;;)
                    {
                        beforeEachCall();
                        try
                        {
                            if (!generator.Next()) break;
                            text.Append(generator.Piece);
                        }
                        catch (OperationCanceledException)
                        {
                            ++stops;
                        }
                    }
                }
                over = true;
                stopper.Join();
                Expect.Equal(expected, text.ToString(), $"the reply after {stops} stops");
                return stops;
            }
        }

        [Test]
        public static void AStopThatComesTooLateIsForgotten()
        {
            // The library's flag as a stop leaves it that comes when its call has just ended.
            const BindingFlags hidden = BindingFlags.Static | BindingFlags.Instance | BindingFlags.NonPublic;
            MethodInfo cancel = typeof(Model).Assembly.GetType("Bitnet.Native").GetMethod("bitnet_ctx_cancel", hidden);
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                object handle = typeof(Context).GetField("handle", hidden).GetValue(context);
                object pointer = handle.GetType().GetProperty("Pointer", hidden).GetValue(handle);
                Action late = () => cancel.Invoke(null, new[] { pointer });
                late();
                context.Decode(new[] { new BatchEntry(1, 0, 0, Want.Sample) });
                late();
                using (var greedy = new Sampler()) context.Sample(0, greedy);
                using (Generator generator = context.OpenGenerator(ModelTests.Ask("Hello")))
                {
                    late();
                    Expect.True(generator.Next(), "a piece");
                }
                context.Cancel(); // nothing decodes, so nothing is stopped
                context.Decode(new[] { new BatchEntry(1, 0, 1) });
            }
        }

        [Test]
        public static void TwoCallsAtOnceAreRefused()
        {
            var pool = new HeldPool();
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(pool.Options()))
            {
                int[] tokens = LongPrompt(model, 200).Tokens.ToArray();
                Task running = Task.Run(() => context.Decode(ContextTests.Batch(tokens)));
                pool.WaitUntilHeld();
                var refused = new Action[]
                {
                    () => context.Decode(new[] { new BatchEntry(1, 0, 1) }), () => context.GetStats(),
                    () => context.GetSequenceLength(1), () => context.OpenGenerator(ModelTests.Ask("a")),
                    () => context.TruncateSequence(1, 0), () => context.SaveSequence(1),
                };
                foreach (Action call in refused) Expect.Throws<InvalidOperationException>(call, "in use");
                using (Context other = model.OpenContext()) other.Decode(new[] { new BatchEntry(1, 0) });
                context.Dispose(); // ends with the call
                pool.GoOn();
                running.Wait();
                Expect.Throws<ObjectDisposedException>(() => context.GetStats());
            }
        }

        [Test]
        public static void ReadersDoNotEndAReply()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(new ContextOptions { Threads = 1 }))
            {
                var options = new GenerateOptions { Prompt = "Once", IgnoreEnd = true, MaxTokens = 200 };
                string expected = string.Concat(context.Generate(options));
                int reads = 0;
                Func<int> count = () => Volatile.Read(ref reads);
                bool over = false;
                var reader = new Thread(() =>
                {
                    while (!Volatile.Read(ref over))
                    {
                        if (!Refused(() => context.GetStats())) Interlocked.Increment(ref reads);
                        if (!Refused(() => context.SaveSequence())) Interlocked.Increment(ref reads);
                    }
                });
                reader.Start();
                try
                {
                    for (int round = 0; round < 5; ++round)
                    {
                        Expect.Equal(expected, ReadMeanwhile(context.Generate(options), count), "the reply");
                        context.TruncateSequence(0, 0);
                    }
                }
                finally
                {
                    over = true;
                    reader.Join();
                }
            }
        }

        /// <summary>The whole reply, of a context that another thread reads: now and then it waits for a read, since
        /// that thread may get no turn, or find the context in use whenever it does.</summary>
        private static string ReadMeanwhile(IEnumerable<string> reply, Func<int> reads)
        {
            var text = new StringBuilder();
            int pieces = 0;
            foreach (string piece in reply)
            {
                text.Append(piece);
                if (pieces++ % 10 == 0) WaitForMore(reads);
            }
            return text.ToString();
        }

        private static void WaitForMore(Func<int> reads)
        {
            int before = reads();
            Soon(() => reads() != before, "a read");
        }

        /// <summary>What this thread has used of the processor: user and system time, in hundredths.</summary>
        private static double BusySeconds()
        {
            string stat = File.ReadAllText("/proc/thread-self/stat");
            string[] fields = stat.Substring(stat.LastIndexOf(')') + 2).Split(' ');
            return (long.Parse(fields[11]) + long.Parse(fields[12])) / 100.0;
        }

        [Test]
        public static void TheGate()
        {
            const BindingFlags hidden = BindingFlags.Instance | BindingFlags.NonPublic;
            Type type = typeof(Model).Assembly.GetType("Bitnet.Gate");
            object gate = Activator.CreateInstance(type, hidden, null, new object[] { "taken" }, null);
            var enter = (Action<bool>)type.GetMethod("Enter", hidden).CreateDelegate(typeof(Action<bool>), gate);
            var leave = (Action)type.GetMethod("Leave", hidden).CreateDelegate(typeof(Action), gate);

            Action waits = () => Soon(() =>
            {
                if (Refused(() => enter(true))) return true;
                leave();
                return false;
            }, "a writer that waits");

            enter(true);
            enter(true);
            double busy = 0;
            var writer = new Thread(() =>
            {
                double before = BusySeconds();
                enter(false);
                busy = BusySeconds() - before;
            }) { IsBackground = true };
            writer.Start();
            waits();
            Expect.True(!writer.Join(1000), "a writer waits for two readers");
            foreach (bool reads in new[] { true, false })
            {
                Expect.Throws<InvalidOperationException>(() => enter(reads), "taken"); // the writer is the next
            }
            leave();
            Expect.True(!writer.Join(50), "a writer waits for the second reader");
            leave();
            Expect.True(writer.Join(60000), "the writer is in");
            // One that spins is busy all the time; one that sleeps, some hundredths of it.
            Expect.True(busy < 0.3, $"waiting a second took {busy} seconds of a processor");
            foreach (bool reads in new[] { true, false })
            {
                Expect.Throws<InvalidOperationException>(() => enter(reads), "taken");
            }
            leave();

            enter(true);
            var interrupted = new Thread(() => Expect.Throws<ThreadInterruptedException>(() => enter(false)));
            interrupted.IsBackground = true;
            interrupted.Start();
            waits();
            interrupted.Interrupt();
            Expect.True(interrupted.Join(60000), "and waits no more");
            enter(true);
            leave();
            leave();
            enter(false);
            leave();
        }

        [Test]
        public static void ReadersSideBySide()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                int[] tokens = model.Tokenize("The capital of France is");
                context.Decode(ContextTests.Batch(tokens, last: Want.Logits));
                float[] expected = context.GetLogits(tokens.Length - 1);
                Parallel.For(0, 200, i =>
                {
                    Expect.Same(expected, context.GetLogits(tokens.Length - 1), "logits");
                    Expect.Same(tokens, model.Tokenize("The capital of France is"), "tokens");
                    context.SaveSequence();
                });
            }
        }
    }
}
