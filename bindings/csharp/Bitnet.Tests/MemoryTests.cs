using System;
using System.Collections;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;

namespace Bitnet.Tests
{
    /// <summary>What the garbage collector may do at any moment, and what is left over.</summary>
    public static class MemoryTests
    {
        private static readonly byte[] Bytes = File.ReadAllBytes(Files.Nano);

        private static long Megabytes()
        {
            string line = File.ReadAllLines("/proc/self/status").First(one => one.StartsWith("VmRSS:"));
            return long.Parse(line.Split(new[] { ' ', '\t' }, StringSplitOptions.RemoveEmptyEntries)[1]) >> 10;
        }

        private static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
        }

        /// <summary>Runs it many times; in the end memory is where it was after a few.</summary>
        private static void Stays(int rounds, Action once)
        {
            for (int i = 0; i < rounds / 4; ++i) once();
            Collect();
            long before = Megabytes();
            for (int i = 0; i < rounds; ++i) once();
            Collect();
            long after = Megabytes();
            Expect.True(after < before + 24, $"{before} MB after {rounds / 4} rounds, {after} MB after {rounds} more");
        }

        [Test]
        public static void OpenedAndClosed()
        {
            Stays(80, () =>
            {
                var options = new ModelOptions { Threads = 1, Log = (level, text) => { } };
                using (Model model = Model.Open((byte[])Bytes.Clone(), options)) // bytes that only the model holds
                using (Context context = model.OpenContext(new ContextOptions { Positions = 256, Threads = 1 }))
                using (var sampler = new Sampler(new SamplerOptions { Bias = new[] { new LogitBias(1, 1) } }))
                {
                    context.Generate(ModelTests.Ask("Hello")).Count();
                    context.SaveSequence();
                    context.GetReceipt();
                }
            });
        }

        [Test]
        public static void FailedCalls()
        {
            byte[] half = Bytes.Take(Bytes.Length / 2).ToArray();
            using (Model model = Model.Open(Bytes))
            using (Context context = model.OpenContext(new ContextOptions { Positions = 64 }))
            {
                var options = new GenerateOptions { Prompt = new string('a', 10000), Stop = new[] { "b" } };
                var refused = new ContextOptions { Threads = -1, Execute = (task, count) => { } };
                Stays(80, () =>
                {
                    Expect.Fails(Status.Format, () => Model.Open(half));
                    Expect.Fails(Status.ContextFull, () => context.OpenGenerator(options));
                    Expect.Fails(Status.Argument, () => model.OpenContext(refused));
                });
            }
        }

        [Test]
        public static void NeverClosed()
        {
            Stays(40, () =>
            {
                Drop();
                Collect();
            });
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Drop()
        {
            Model model = Model.Open(Bytes, new ModelOptions { Threads = 1 });
            Context context = model.OpenContext(new ContextOptions { Positions = 128, Threads = 1 });
            context.OpenGenerator(ModelTests.Ask("Hello")).Next();
            context.OpenGenerator(new GenerateOptions { Prompt = "a", Sequence = 1 }).Next();
            new Sampler().Accept(1);
        }

        /// <summary>Something that only a callback holds, and bytes to be pinned.</summary>
        private sealed class Mark
        {
            internal readonly byte[] Bytes = new byte[1];
            internal int Uses;
        }

        /// <summary>Uses many marks, each on a thread whose stack is then gone; the collector must find nearly all of
        /// them (it may take any word for a reference).</summary>
        private static void LetsGo(string what, Action<Mark> use)
        {
            const int marks = 20;
            WeakReference[] made = Enumerable.Range(0, marks).Select(i => Used(use)).ToArray();
            // A callback may still be under way on a thread of the pool.
            var clock = Stopwatch.StartNew();
            for (int i = 0; i < 50 || clock.ElapsedMilliseconds < 60000; ++i)
            {
                if (made.Count(mark => mark.IsAlive) <= 3) break;
                Collect();
            }
            int kept = made.Count(mark => mark.IsAlive);
            Expect.True(kept <= 3, $"{what}: {kept} of {marks} are never let go");
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static WeakReference Used(Action<Mark> use)
        {
            WeakReference mark = null;
            var thread = new Thread(() =>
            {
                var made = new Mark();
                mark = new WeakReference(made.Bytes);
                use(made);
            });
            thread.Start();
            thread.Join();
            return mark;
        }

        [Test]
        public static void CallbacksAreLetGo()
        {
            Func<Mark, ModelOptions> logging = mark => new ModelOptions { Log = (level, text) => ++mark.Uses };
            LetsGo("log of a closed model", mark => Model.Open(Bytes, logging(mark)).Dispose());
            LetsGo("log of a model never closed", mark => Model.Open(Bytes, logging(mark)));
            LetsGo("log of a model that did not open", mark =>
                Expect.Fails(Status.Format, () => Model.Open(new byte[1], logging(mark))));
            LetsGo("log of a model whose context did not open", mark =>
            {
                using (Model model = Model.Open(Bytes, logging(mark)))
                {
                    Expect.Fails(Status.Argument, () => model.OpenContext(new ContextOptions { Threads = -1 }));
                }
            });
            LetsGo("bytes that did not open", mark => Expect.Fails(Status.Format, () => Model.Open(mark.Bytes)));
            LetsGo("progress", mark => Model.Open(Bytes,
                new ModelOptions { Progress = new Progress<double>(done => ++mark.Uses) }));
            LetsGo("progress of a model that did not open", mark => Expect.Fails(Status.Format, () =>
                Model.Open(new byte[1], new ModelOptions { Progress = new Progress<double>(done => ++mark.Uses) })));
            LetsGo("reader", mark => Model.Open(Bytes.Length, (offset, buffer) =>
            {
                ++mark.Uses;
                new Span<byte>(Bytes, (int)offset, buffer.Length).CopyTo(buffer);
            }));
            LetsGo("reader of a model that did not open", mark =>
                Expect.Fails(Status.Format, () => Model.Open(1, (offset, buffer) => ++mark.Uses)));
        }

        [Test]
        public static void ExecutorsAreLetGo()
        {
            using (Model model = Model.Open(Bytes))
            using (var never = new CancellationTokenSource())
            {
                Func<Mark, int, Context> open = (mark, threads) => model.OpenContext(new ContextOptions
                {
                    Positions = 64,
                    Threads = threads,
                    Execute = (task, count) =>
                    {
                        ++mark.Uses;
                        for (int i = 0; i < count; ++i) task(i);
                    },
                });
                LetsGo("executor of a closed context", mark => open(mark, 2).Dispose());
                LetsGo("executor of a context never closed", mark => open(mark, 2));
                LetsGo("executor of a context that did not open", mark =>
                    Expect.Fails(Status.Argument, () => open(mark, -1)));
                LetsGo("executor of a context whose generator did not open", mark =>
                {
                    using (Context context = open(mark, 2))
                    {
                        Expect.Fails(Status.Argument, () => context.OpenGenerator(new GenerateOptions()));
                    }
                });
                LetsGo("context never closed, of a call with a token that lives on", mark =>
                    open(mark, 2).Decode(new[] { new BatchEntry(1, 0) }, never.Token));
            }
        }

        [Test]
        public static void FinalizersDoNotDisturbARunningContext()
        {
            using (Model model = Model.Open(Bytes, new ModelOptions { Threads = 1 }))
            using (Context context = model.OpenContext(new ContextOptions { Threads = 1 }))
            {
                GenerateOptions question = ModelTests.Ask("Name a colour.");
                var dropped = new GenerateOptions { Prompt = "Once", Sequence = 1 };
                string expected = string.Concat(context.Generate(question));
                WhileCollecting(() =>
                {
                    for (int i = 0; i < 150; ++i)
                    {
                        context.OpenGenerator(dropped).Next();
                        Expect.Equal(expected, string.Concat(context.Generate(question)), "the reply");
                    }
                });
            }
        }

        [Test]
        public static void CollectedInTheMiddleOfCallsAndCallbacks()
        {
            Execute execute = (task, count) =>
            {
                GC.Collect();
                for (int i = 0; i < count; ++i) task(i);
            };
            ReadAt read = (offset, buffer) =>
            {
                GC.Collect();
                new Span<byte>(Bytes, (int)offset, buffer.Length).CopyTo(buffer);
            };
            WhileCollecting(() =>
            {
                for (int i = 0; i < 3; ++i)
                {
                    using (Model model = Model.Open(Bytes.Length, read,
                        new ModelOptions { Progress = new Progress<double>(done => GC.Collect()) }))
                    using (Context context = model.OpenContext(new ContextOptions { Threads = 2, Execute = execute }))
                    {
                        context.Decode(ContextTests.Batch(model.Tokenize("Once upon a time", TokenizeFlags.Special)));
                    }
                    string text = null;
                    Action<LogLevel, string> log = (level, said) =>
                    {
                        GC.Collect();
                        text = said;
                    };
                    using (Model.Open(Files.Warned, new ModelOptions { Log = log }))
                    {
                        Expect.True(text.Contains("martian"), text);
                    }
                    using (Model model = Model.Open((byte[])Bytes.Clone()))
                    {
                        Collect();
                        Expect.True(ModelTests.Reply(model).Contains("Paris"), "the reply");
                    }
                }
            });
        }

        [Test]
        public static void TokensThatLiveLongKeepNoReplies()
        {
            using (Model model = Model.Open(Bytes, new ModelOptions { Threads = 1 }))
            using (Context context = model.OpenContext(new ContextOptions { Positions = 64, Threads = 1 }))
            {
                var one = new CancellationTokenSource();
                var two = new CancellationTokenSource();
                var wrong = new GenerateOptions();
                long before = GC.GetTotalMemory(true);
                for (int i = 0; i < 5000; ++i)
                {
                    IAsyncEnumerator<string> reply =
                        context.GenerateAsync(wrong, one.Token).GetAsyncEnumerator(two.Token);
                    if (i % 50 == 0) Expect.Fails(Status.Argument, () => GeneratorTests.Step(reply));
                    reply.DisposeAsync().AsTask().Wait();
                }
                long kilobytes = (GC.GetTotalMemory(true) - before) >> 10;
                Expect.True(kilobytes < 500, $"two tokens keep {kilobytes} KB of 5000 replies");
                GC.KeepAlive(one);
                GC.KeepAlive(two);
            }
        }

        /// <summary>A list that has more, or fewer, elements whenever it is asked.</summary>
        private sealed class Changing<T> : IReadOnlyList<T>
        {
            private readonly T element;
            private readonly int change;
            private int count;

            internal Changing(T element, int count, int change)
            {
                this.element = element;
                this.count = count;
                this.change = change;
            }

            public int Count
            {
                get
                {
                    int now = count;
                    count += change;
                    return now;
                }
            }

            public T this[int index] => element;

            public IEnumerator<T> GetEnumerator()
            {
                throw new NotSupportedException();
            }

            IEnumerator IEnumerable.GetEnumerator()
            {
                return GetEnumerator();
            }
        }

        [Test]
        public static void ListsThatChangeMeanwhile()
        {
            using (Model model = Model.Open(Bytes, new ModelOptions { Threads = 1 }))
            using (Context context = model.OpenContext(new ContextOptions { Positions = 256, Threads = 1 }))
            {
                foreach (int change in new[] { 1, 100000, -3 })
                {
                    Message message = Message.User("x");
                    var bias = new Changing<LogitBias>(new LogitBias(7, 1), 1, change);
                    Message[] ten = Enumerable.Repeat(message, 10).ToArray();
                    Expect.Same(model.TokenizeChat(ten),
                        model.TokenizeChat(new Changing<Message>(message, 10, change)), "messages as tokens");
                    Expect.Equal(model.RenderChat(ten),
                        model.RenderChat(new Changing<Message>(message, 10, change)), "messages as text");
                    var options = new GenerateOptions
                    {
                        Messages = new Changing<Message>(message, 10, change),
                        Stop = new Changing<string>("☃", 10, change),
                        Sampling = new SamplerOptions { Bias = bias },
                        MaxTokens = 1,
                    };
                    Expect.Equal<long>(model.TokenizeChat(ten).Length, PromptTokens(context, options), "messages");
                    options.Messages = null;
                    options.Sampling = null;
                    options.Tokens = new Changing<int>(7, 10, change);
                    options.Stop = new Changing<string>("☃", 10, change);
                    Expect.Equal<long>(10, PromptTokens(context, options), "tokens");
                    options.Tokens = new Changing<int>(7, -1, change);
                    Expect.Throws<ArgumentOutOfRangeException>(() => context.OpenGenerator(options), "0 or more");
                }
            }
        }

        private static long PromptTokens(Context context, GenerateOptions options)
        {
            using (Generator generator = context.OpenGenerator(options)) return generator.GetInfo().PromptTokens;
        }

        [Test]
        public static void ABatchThatChangesMeanwhile()
        {
            using (Model model = Model.Open(Bytes, new ModelOptions { Threads = 1 }))
            {
                int[] tokens = model.Tokenize("The capital of France is", TokenizeFlags.Special);
                BatchEntry[] batch = ContextTests.Batch(tokens, last: Want.Logits);
                float[] expected = Logits(model, batch, null);
                Expect.Same(expected, Logits(model, batch, (task, count) =>
                {
                    Array.Clear(batch, 0, batch.Length - 1);
                    batch[batch.Length - 1].Position = int.MaxValue;
                    for (int i = 0; i < count; ++i) task(i);
                }), "logits of the batch as it was");
            }
        }

        private static float[] Logits(Model model, BatchEntry[] batch, Execute execute)
        {
            using (Context context = model.OpenContext(
                new ContextOptions { Positions = 64, Threads = 2, Execute = execute }))
            {
                context.Decode(batch);
                return context.GetLogits(batch.Length - 1);
            }
        }

        private static void WhileCollecting(Action work)
        {
            bool over = false;
            var collector = new Thread(() =>
            {
                while (!Volatile.Read(ref over))
                {
                    Collect();
                    Thread.Sleep(1);
                }
            });
            collector.Start();
            try
            {
                work();
            }
            finally
            {
                over = true;
                collector.Join();
            }
        }
    }
}
