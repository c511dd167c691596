using System;
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
