using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace Bitnet.Tests
{
    /// <summary>Decoding, sequences and sampling.</summary>
    public static class ContextTests
    {
        internal static BatchEntry[] Batch(int[] tokens, int position = 0, int sequence = 0, Want last = Want.None)
        {
            return tokens.Select((token, i) => new BatchEntry(token, position + i, sequence,
                i + 1 == tokens.Length ? last : Want.None)).ToArray();
        }

        [Test]
        public static void DecodesAndGivesWhatIsWanted()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            using (var greedy = new Sampler())
            {
                int[] tokens = model.Tokenize("The capital of France is", TokenizeFlags.Special);
                context.Decode(Batch(tokens, last: Want.Logits | Want.Embedding));
                int last = tokens.Length - 1;
                float[] logits = context.GetLogits(last);
                Expect.Equal(model.Info.VocabularySize, logits.Length, "logits");
                Expect.Same(logits, context.ViewLogits(last).ToArray(), "the view");
                var copy = new float[logits.Length];
                context.CopyLogits(last, copy);
                Expect.Same(logits, copy, "the copy");
                Expect.Throws<ArgumentException>(() => context.CopyLogits(last, new float[1]));
                Expect.Equal(model.Info.Width, context.GetEmbedding(last).Length, "embedding");
                Expect.Same(context.GetEmbedding(last), context.ViewEmbedding(last).ToArray(), "its view");
                Expect.Fails(Status.State, () => context.GetLogits(0));
                Expect.Fails(Status.State, () => context.GetEmbedding(0));
                Expect.Throws<ArgumentOutOfRangeException>(() => context.GetLogits(-1));

                int picked = greedy.Sample(logits);
                Expect.Equal(Array.IndexOf(logits, logits.Max()), picked, "the greedy pick");
                Expect.Equal(picked, context.Sample(last, greedy), "the context's pick");
                greedy.Accept(picked);
                greedy.Reset();
                Expect.Fails(Status.Argument, () => context.Decode(new BatchEntry[0]), "count is 0");
                Expect.Fails(Status.Argument, () => context.Decode(default), "count is 0");
                Expect.Fails(Status.Argument, () => context.Decode(new[] { new BatchEntry(-1, 6) }), "token");
                Expect.Fails(Status.State, () => model.OpenContext().Sample(0, greedy));
            }
        }

        [Test]
        public static void Samplers()
        {
            var logits = new float[] { 1, 5, 3, 5 };
            var banned = new SamplerOptions { Bias = new[] { new LogitBias(1, float.NegativeInfinity) } };
            using (var sampler = new Sampler(banned)) Expect.Equal(3, sampler.Sample(logits), "token 1 is banned");
            using (var sampler = new Sampler(new SamplerOptions { RepeatPenalty = 4, PenaltyWindow = -1 }))
            {
                sampler.Accept(1);
                Expect.Equal(3, sampler.Sample(logits), "token 1 is weakened");
                sampler.Accept(3);
                Expect.Equal(2, sampler.Sample(logits), "and token 3");
            }
            var warm = new SamplerOptions
            {
                Temperature = 2, TopK = 3, TopP = 0.99f, MinP = 0.01f, Seed = ulong.MaxValue,
                FrequencyPenalty = 0.1f, PresencePenalty = 0.1f,
            };
            using (var one = new Sampler(warm))
            using (var two = new Sampler(warm))
            {
                Func<Sampler, int[]> draw = sampler => Enumerable.Range(0, 50).Select(i =>
                {
                    int token = sampler.Sample(logits);
                    sampler.Accept(token);
                    return token;
                }).ToArray();
                int[] drawn = draw(one);
                Expect.Same(drawn, draw(two), "the same seed");
                Expect.True(drawn.Distinct().Count() > 1, "more than one token is drawn");
                one.Reset();
                Expect.Same(drawn, draw(one), "the same from the beginning");
            }
            Expect.Fails(Status.Argument, () => new Sampler(new SamplerOptions { Temperature = -1 }), "temperature");
            var closed = new Sampler();
            closed.Dispose();
            closed.Dispose();
            Expect.Throws<ObjectDisposedException>(() => closed.Sample(logits), "Sampler");
            using (var sampler = new Sampler())
            {
                Expect.Fails(Status.Argument, () => sampler.Sample(new float[0]), "count is 0");
                Expect.Fails(Status.Argument, () => sampler.Sample(default), "count is 0");
                Expect.Fails(Status.Argument, () => sampler.Sample(new[] { float.NaN }));
            }
        }

        [Test]
        public static void Sequences()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(
                new ContextOptions { Positions = 256, Sequences = 3, Batch = 16 }))
            {
                int[] tokens = model.Tokenize("one two three four five", TokenizeFlags.Special);
                context.Decode(Batch(tokens));
                Expect.Equal<long>(tokens.Length, context.GetSequenceLength(0));
                Expect.Equal<long>(0, context.GetSequenceLength(77));
                Expect.Equal(tokens.Length, context.MatchSequence(0, tokens));
                context.ForkSequence(0, 1);
                context.TruncateSequence(1, 2);
                Expect.Equal<long>(2, context.GetSequenceLength(1));
                Expect.Equal(2, context.MatchSequence(1, tokens));
                byte[] saved = context.SaveSequence(0);
                context.LoadSequence(2, saved);
                Expect.Same(saved, context.SaveSequence(2), "loaded and saved again");
                saved[saved.Length / 2] ^= 1;
                Expect.Fails(Status.Format, () => context.LoadSequence(2, saved));
                Expect.Fails(Status.Format, () => context.LoadSequence(2, new byte[0]), "this has 0");
                Expect.Fails(Status.Format, () => context.LoadSequence(2, default), "this has 0");
                Expect.Fails(Status.Argument, () => context.ForkSequence(0, 9));
                Expect.Throws<ArgumentOutOfRangeException>(() => context.TruncateSequence(0, -1));
                ContextStats stats = context.GetStats();
                Expect.Equal<long>(tokens.Length, stats.Tokens);
                Expect.Equal<long>(256, stats.Positions);
                Expect.True(stats.CacheBytes > 0 && stats.Threads > 0, "statistics");
                Expect.True(context.GetReceipt().StartsWith("{\"schema\":\"bitnet-receipt-1\""), "the receipt");
            }
        }

        [Test]
        public static void AFullContextStaysUsable()
        {
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext(new ContextOptions { Positions = 64, Sequences = 2 }))
            {
                int[] tokens = Enumerable.Repeat(model.Tokenize("a")[0], 65).ToArray();
                Expect.Fails(Status.ContextFull, () => context.Decode(Batch(tokens)));
                Expect.Equal<long>(0, context.GetSequenceLength(0));
                context.Decode(Batch(tokens.Take(64).ToArray()));
                Expect.Fails(Status.ContextFull, () => context.Decode(Batch(tokens.Take(1).ToArray(), 64)));
                var prompt = new GenerateOptions { Tokens = tokens, Sequence = 1 };
                Expect.Fails(Status.ContextFull, () => context.OpenGenerator(prompt));
                prompt.Tokens = tokens.Take(10).ToArray();
                Expect.Fails(Status.ContextFull, () => context.Generate(prompt).Count());
                context.TruncateSequence(0, 0);
                Expect.True(string.Concat(context.Generate(ModelTests.Ask("Hello"))).Length > 0, "room again");
            }
        }

        [Test]
        public static void ClosedIsClosed()
        {
            using (Model model = Model.Open(Files.Nano))
            {
                Context context = model.OpenContext();
                Generator generator = context.OpenGenerator(ModelTests.Ask("Hello"));
                generator.Next();
                context.Dispose();
                context.Dispose();
                context.Cancel();
                var after = new Action[]
                {
                    () => generator.Next(), () => generator.GetInfo(), () => generator.Piece.ToString(),
                    () => generator.PieceUtf8.ToArray(), () => context.Decode(new[] { new BatchEntry(1, 0) }),
                    () => context.GetLogits(0), () => context.ViewEmbedding(0), () => context.GetSequenceLength(),
                    () => context.MatchSequence(0, new[] { 1 }), () => context.ForkSequence(0, 1),
                    () => context.TruncateSequence(0, 0), () => context.SaveSequence(),
                    () => context.LoadSequence(0, new byte[1]), () => context.GetStats(), () => context.GetReceipt(),
                    () => context.OpenGenerator(ModelTests.Ask("a")), () => context.Sample(0, new Sampler()),
                };
                foreach (Action call in after) Expect.Throws<ObjectDisposedException>(call, "Context");
                generator.Dispose();
                generator.Dispose();
                Expect.Throws<ObjectDisposedException>(() => generator.Next(), "Generator");
            }
        }

        [Test]
        public static void ExecutorsOfAllKinds()
        {
            using (Model model = Model.Open(Files.Nano))
            {
                int[] tokens = model.Tokenize("The capital of France is", TokenizeFlags.Special);
                Func<Execute, float[]> logits = execute =>
                {
                    using (Context context = model.OpenContext(new ContextOptions { Threads = 3, Execute = execute }))
                    {
                        context.Decode(Batch(tokens, last: Want.Logits));
                        return context.GetLogits(tokens.Length - 1);
                    }
                };
                float[] expected = logits(null);
                int runs = 0;
                Expect.Same(expected, logits((task, count) =>
                {
                    ++runs;
                    Parallel.For(0, count, task);
                }), "in parallel");
                Expect.True(runs > 0, "the executor ran");
                Expect.Same(expected, logits((task, count) => { for (int i = count; i-- > 0;) task(i); }), "backwards");
                Expect.Same(expected, logits((task, count) => { task(0); task(0); }), "twice one, not the rest");
                Expect.Same(expected, logits((task, count) =>
                {
                    for (int i = 0; i < count; ++i)
                    {
                        int share = i;
                        ThreadPool.QueueUserWorkItem(nothing => task(share));
                    }
                }), "without waiting");
            }
        }

        [Test]
        public static void AnInterruptDoesNotCrossIntoC()
        {
            using (Model model = Model.Open(Files.Slow))
            {
                Execute execute = (task, count) =>
                {
                    task(0);
                    using (var started = new ManualResetEventSlim())
                    {
                        ThreadPool.QueueUserWorkItem(nothing =>
                        {
                            started.Set();
                            task(1);
                        });
                        while (!started.IsSet) Thread.Yield();
                    }
                    Thread.CurrentThread.Interrupt(); // the next sleep of this thread throws
                };
                bool decoded = false;
                var caller = new Thread(() =>
                {
                    using (Context context = model.OpenContext(new ContextOptions { Threads = 2, Execute = execute }))
                    {
                        int[] tokens = Enumerable.Repeat(model.Tokenize("a")[0], 64).ToArray();
                        context.Decode(Batch(tokens));
                        decoded = context.GetSequenceLength() == tokens.Length;
                        Expect.Throws<ThreadInterruptedException>(() => Thread.Sleep(1));
                    }
                });
                caller.Start();
                Expect.True(caller.Join(60000), "it ends");
                Expect.True(decoded, "the batch is decoded");
            }
        }

        [Test]
        public static void AnExecutorThatThrows()
        {
            using (Model model = Model.Open(Files.Slow))
            {
                bool throws = false;
                Execute execute = (task, count) =>
                {
                    if (throws) throw new TimeoutException("the pool is gone");
                    for (int i = 0; i < count; ++i) task(i);
                };
                using (Context context = model.OpenContext(new ContextOptions { Threads = 2, Execute = execute }))
                {
                    BatchEntry[] batch = Batch(model.Tokenize("Once upon a time", TokenizeFlags.Special));
                    throws = true;
                    Expect.Throws<TimeoutException>(() => context.Decode(batch), "the pool is gone");
                    Expect.Equal<long>(0, context.GetSequenceLength());
                    throws = false;
                    context.Decode(batch);
                    Expect.Equal<long>(batch.Length, context.GetSequenceLength());
                }
            }
        }
    }
}
