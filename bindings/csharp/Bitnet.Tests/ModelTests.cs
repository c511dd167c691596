using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;

namespace Bitnet.Tests
{
    /// <summary>Opening, and everything that asks a model.</summary>
    public static class ModelTests
    {
        internal const string Foreign = "Grüße, 世界! 🦉 naïve\u0000zero";

        [Test]
        public static void OpensFromEverywhere()
        {
            byte[] bytes = File.ReadAllBytes(Files.Nano);
            string expected;
            using (Model model = Model.Open(Files.Nano)) expected = Reply(model);
            Expect.True(expected.Length > 0, "there is a reply");
            using (Model model = Model.OpenAsync(Files.Nano).Result) Expect.Equal(expected, Reply(model), "OpenAsync");
            using (Model model = Model.Open(bytes)) Expect.Equal(expected, Reply(model), "bytes");
            using (var stream = new MemoryStream(new byte[7].Concat(bytes).ToArray()))
            {
                stream.Position = 7;
                using (Model model = Model.Open(stream)) Expect.Equal(expected, Reply(model), "stream");
            }
            ReadAt read = (offset, buffer) => new Span<byte>(bytes, (int)offset, buffer.Length).CopyTo(buffer);
            using (Model model = Model.Open(bytes.Length, read)) Expect.Equal(expected, Reply(model), "ReadAt");
            IntPtr memory = Marshal.AllocHGlobal(bytes.Length);
            Marshal.Copy(bytes, 0, memory, bytes.Length);
            using (Model model = Model.Open(memory, bytes.Length)) Expect.Equal(expected, Reply(model), "memory");
            Marshal.FreeHGlobal(memory);
        }

        internal static string Reply(Model model, string question = "What is the capital of France?")
        {
            using (Context context = model.OpenContext(new ContextOptions { Threads = 1 }))
            {
                return string.Concat(context.Generate(Ask(question)));
            }
        }

        internal static GenerateOptions Ask(string question)
        {
            return new GenerateOptions { Messages = new[] { Message.User(question) }, MaxTokens = 200 };
        }

        [Test]
        public static void OptionsReachTheLibrary()
        {
            var options = new ModelOptions
            {
                Flags = ModelFlags.Read | ModelFlags.Strict,
                Device = "cpu",
                InstructionSet = "reference",
                Threads = 1,
                I2SLayout = I2SLayout.Block128,
                Activation = Activation.Relu2,
                Weights = Weights.Base3,
                Head = Head.Screened,
            };
            using (Model model = Model.Open(Files.Nano, options))
            {
                Expect.Equal(options.Flags, model.Info.Flags);
                Expect.Equal("cpu", model.Info.Device);
                Expect.Equal("reference", model.Info.InstructionSet);
                Expect.Equal(Activation.Relu2, model.Info.Activation);
                Expect.Equal(Weights.Base3, model.Info.Weights);
                Expect.Equal(Head.Screened, model.Info.Head);
            }
            Expect.Fails(Status.Unsupported,
                () => Model.Open(Files.Nano, new ModelOptions { InstructionSet = "abacus" }), "abacus");
            Expect.Fails(Status.Argument, () => Model.Open(Files.Nano, new ModelOptions { Threads = -1 }), "threads");
        }

        [Test]
        public static void InfoMetadataAndTensors()
        {
            using (Model model = Model.Open(Files.Nano, new ModelOptions { Flags = ModelFlags.Describe }))
            {
                ModelInfo info = model.Info;
                Expect.Equal("bitnet-b1.58", info.Family);
                Expect.Equal(new FileInfo(Files.Nano).Length, info.FileBytes);
                Expect.True(info.Parameters > 3000000 && info.Layers > 0 && info.HeadWidth * info.Heads > 0, "numbers");
                Expect.Equal(info.Name, model.GetMetadata("general.name"));
                Expect.True(model.MetadataKeys.Contains("general.architecture"), "the architecture is a key");
                string[] few = model.GetMetadata("tokenizer.ggml.tokens", 2).Split(',');
                Expect.Equal(3, few.Length, "two elements and dots");
                Expect.Fails(Status.NotFound, () => model.GetMetadata("tokenizer.ggml.taste"), "taste");
                TensorInfo embedding = model.Tensors.Single(tensor => tensor.Name == "token_embd.weight");
                Expect.Same(new long[] { info.Width, info.VocabularySize }, embedding.Shape.ToArray(), "its shape");
                Expect.True(embedding.Offset > 0 && embedding.Bytes > 0 && embedding.Type.Length > 0, "where it lies");
                Estimate estimate = model.Estimate(new ContextOptions { Positions = 64 });
                Expect.True(estimate.CacheBytes > 0 && estimate.TotalBytes > estimate.CacheBytes, "the estimate");
                Expect.True(model.Estimate().CacheBytes > estimate.CacheBytes, "more positions, more memory");
                Expect.Fails(Status.State, () => model.OpenContext());
                Expect.Throws<ArgumentOutOfRangeException>(() => model.Estimate(new ContextOptions { Batch = -1 }));
            }
        }

        [Test]
        public static void TextAndTokens()
        {
            using (Model model = Model.Open(Files.Nano))
            {
                int[] tokens = model.Tokenize(Foreign);
                Expect.Equal(Foreign, model.Detokenize(tokens), "there and back");
                byte[] utf8 = Encoding.UTF8.GetBytes(Foreign);
                Expect.Same(tokens, model.Tokenize(new ReadOnlySpan<byte>(utf8)), "tokens of UTF-8");
                Expect.Same(utf8, model.DetokenizeUtf8(tokens), "bytes");
                Expect.Same(utf8, tokens.SelectMany(token => model.GetTokenBytes(token)).ToArray(), "bytes one by one");
                Expect.Equal(0, model.Tokenize("").Length, "tokens of nothing");
                Expect.Equal("", model.Detokenize(new int[0]), "text of nothing");
                Expect.Equal(model.Info.BeginToken, model.Tokenize("a", TokenizeFlags.Special)[0], "a begin token");

                int end = model.Info.EndOfTurnToken;
                string shown = model.Detokenize(new[] { end }, special: true);
                Expect.Same(new[] { end }, model.Tokenize(shown, TokenizeFlags.Parse), "a control token, parsed");
                Expect.True(model.Tokenize(shown).Length > 1, "not parsed");
                Expect.Equal("", model.Detokenize(new[] { end }), "not shown");
                Expect.Equal(shown, Encoding.UTF8.GetString(model.GetTokenBytes(end, special: true)), "its bytes");
                Expect.True(model.IsEnd(end) && !model.IsEnd(tokens[0]) && !model.IsEnd(-7), "which token ends");
                Expect.Fails(Status.Argument, () => model.GetTokenBytes(-1));
            }
        }

        [Test]
        public static void Chats()
        {
            using (Model model = Model.Open(Files.Nano))
            {
                var messages = new[] { Message.System("Be brief."), Message.User(Foreign), Message.Assistant(""),
                    Message.User("Next?") };
                string text = model.RenderChat(messages);
                Expect.True(text.Contains(Foreign) && text.Contains("Be brief."), text);
                Expect.Equal(text, model.Detokenize(model.TokenizeChat(messages), special: true), "as tokens");
                Expect.True(model.RenderChat(messages, "llama-3").Contains("<|start_header_id|>"), "another template");
                Expect.Fails(Status.Argument, () => model.RenderChat(messages, "morse"), "morse");
                Expect.Fails(Status.Argument, () => model.TokenizeChat(new[] { new Message("oracle", "x") }), "oracle");
                Expect.Fails(Status.Argument, () => model.TokenizeChat(new Message[0]));
                Expect.Throws<ArgumentNullException>(() => model.TokenizeChat(new Message[] { null }));
            }
        }

        [Test]
        public static void ZeroCharactersAreNotLost()
        {
            Expect.Throws<ArgumentException>(() => Model.Open(Files.Nano + "\0.txt"), "zero character");
            Expect.Throws<ArgumentException>(() => Model.Open(Files.Nano, new ModelOptions { Device = "\0" }), "zero");
            using (Model model = Model.Open(Files.Nano))
            using (Context context = model.OpenContext())
            {
                Expect.Throws<ArgumentException>(() => model.GetMetadata("general.name\0x"), "zero");
                Expect.Throws<ArgumentException>(() => model.RenderChat(new[] { new Message("user\0", "x") }), "zero");
                Expect.Throws<ArgumentException>(() => context.OpenGenerator(
                    new GenerateOptions { Prompt = "a", Stop = new[] { "b\0" } }), "zero");
                using (Generator generator = context.OpenGenerator(new GenerateOptions { Prompt = "a\0b" }))
                {
                    Expect.Equal("a\0b", model.Detokenize(Prompt(model, context, generator)), "the prompt");
                }
            }
        }

        /// <summary>The prompt's tokens, once read, without the begin token.</summary>
        private static int[] Prompt(Model model, Context context, Generator generator)
        {
            generator.Next();
            int[] expected = model.Tokenize("a\0b");
            int[] whole = new[] { model.Info.BeginToken }.Concat(expected).ToArray();
            Expect.Equal(whole.Length, context.MatchSequence(0, whole), "tokens of the prompt in the sequence");
            return expected;
        }

        [Test]
        public static void MissingAndDamagedFiles()
        {
            string missing = Path.Combine(Files.Scratch, "nicht da ☃.gguf");
            Expect.Fails(Status.IO, () => Model.Open(missing), missing);
            Expect.Fails(Status.IO, () => Model.Open(Files.Scratch));
            Expect.Fails(Status.Format, () => Model.Open(new byte[0]));
            Expect.Throws<ArgumentNullException>(() => Model.Open((string)null));

            byte[] whole = File.ReadAllBytes(Files.Nano);
            foreach (int length in new[] { 3, 100, whole.Length / 2, whole.Length - 1 })
            {
                Expect.Fails(Status.Format, () => Model.Open(whole.Take(length).ToArray()));
            }
            var random = new Random(1);
            int refused = 0;
            for (int round = 0; round < 100; ++round)
            {
                var bytes = (byte[])whole.Clone();
                for (int i = 0; i < 3; ++i) bytes[random.Next(4096)] ^= (byte)random.Next(1, 256);
                try
                {
                    using (Model.Open(bytes, new ModelOptions { Threads = 1 }))
                    {
                    }
                }
                catch (BitnetException exception)
                {
                    Expect.True(exception.Message.Length > 0, "there is no sentence");
                    ++refused;
                }
            }
            Expect.True(refused > 20, $"only {refused} of 100 damaged files were refused");
        }

        [Test]
        public static void ProgressAndCancelling()
        {
            var seen = new List<double>();
            using (Model.Open(Files.Slow, new ModelOptions { Progress = new Told(seen.Add) }))
            {
                Expect.True(seen.Count > 3 && seen.Last() == 1 && seen.SequenceEqual(seen.OrderBy(d => d)), "progress");
            }
            var stop = new CancellationTokenSource();
            var options = new ModelOptions { Progress = new Told(done => stop.Cancel()) };
            Expect.Equal(stop.Token, Expect.Throws<OperationCanceledException>(
                () => Model.Open(Files.Slow, options, stop.Token)).CancellationToken);
            Expect.Throws<OperationCanceledException>(() => Model.Open(Files.Nano, null, stop.Token));
            Expect.Throws<OperationCanceledException>(
                () => Model.OpenAsync(Files.Nano, null, stop.Token).GetAwaiter().GetResult());
        }

        /// <summary>Progress told at once, on the thread that makes it.</summary>
        private sealed class Told : IProgress<double>
        {
            private readonly Action<double> tell;

            internal Told(Action<double> tell)
            {
                this.tell = tell;
            }

            public void Report(double done)
            {
                tell(done);
            }
        }

        private sealed class OddException : Exception
        {
        }

        /// <summary>The model that logs a warning, with its control tokens marked as ordinary, which is
        /// another.</summary>
        private static byte[] WarnedTwice()
        {
            const string key = "tokenizer.ggml.token_type";
            const int control = 3, ordinary = 1;
            byte[] bytes = File.ReadAllBytes(Files.Warned);
            string file = Encoding.GetEncoding("iso-8859-1").GetString(bytes); // a character for each byte
            int count = file.IndexOf(key, StringComparison.Ordinal) + key.Length + 8; // after two types
            for (long i = BitConverter.ToInt64(bytes, count), at = count + 8; i > 0; --i, at += 4)
            {
                if (bytes[at] == control) bytes[at] = ordinary;
            }
            return bytes;
        }

        [Test]
        public static void CallbacksThatThrow()
        {
            Exception odd = new OddException();
            Action thrower = () => throw odd;
            var progress = new ModelOptions { Progress = new Told(done => thrower()) };
            Expect.Equal(odd, Expect.Throws<OddException>(() => Model.Open(Files.Slow, progress)));

            var logged = new List<string>();
            using (Model.Open(Files.Warned, new ModelOptions { Log = (level, text) => logged.Add(level + " " + text) }))
            {
                Expect.True(logged.Any(line => line.StartsWith("Warning ") && line.Contains("martian")), "the log");
            }
            var log = new ModelOptions { Log = (level, text) => thrower() };
            Expect.Throws<OddException>(() => Model.Open(Files.Warned, log));
            byte[] warnedTwice = WarnedTwice();
            int calls = 0;
            // The CPU by name: that there is no other device would be a line of its own.
            using (Model.Open(warnedTwice, new ModelOptions { Device = "cpu", Log = (level, text) => ++calls }))
            {
                Expect.Equal(2, calls, "calls of the log");
            }
            var throwsFirst = new ModelOptions
            {
                Device = "cpu",
                Log = (level, text) =>
                {
                    if (++calls == 3) thrower();
                },
            };
            Expect.Throws<OddException>(() => Model.Open(warnedTwice, throwsFirst));
            Expect.Equal(3, calls, "calls of the log, the last of which threw");

            ReadAt read = (offset, buffer) => thrower();
            Expect.Throws<OddException>(() => Model.Open(100, read));
            using (var file = new FileStream(Files.Nano, FileMode.Open, FileAccess.Read))
            {
                file.Position = file.Length;
                Expect.Fails(Status.Format, () => Model.Open(file)); // nothing is left to read
                file.Dispose();
                Expect.Throws<ArgumentException>(() => Model.Open(file));
            }
            // What was thrown is forgotten: the thread's next calls succeed.
            using (Model model = Model.Open(Files.Nano)) Expect.True(Reply(model).Length > 0, "a reply");
        }

        [Test]
        public static void StrictRefusesWhatIsTolerated()
        {
            var strict = new ModelOptions { Device = "cpu", Flags = ModelFlags.Strict };
            Expect.Fails(Status.Unsupported, () => Model.Open(Files.Warned, strict), "martian");
        }

        [Test]
        public static void ClosedIsClosed()
        {
            Model model = Model.Open(Files.Nano);
            Context context = model.OpenContext();
            model.Dispose();
            model.Dispose();
            Expect.True(string.Concat(context.Generate(Ask("Hello"))).Length > 0, "a context outlives its model");
            var after = new Action[]
            {
                () => model.Info.ToString(), () => model.MetadataKeys.ToString(),
                () => model.GetMetadata("general.name"), () => model.Tensors.ToString(),
                () => model.Estimate(), () => model.Tokenize("a"),
                () => model.Detokenize(new[] { 1 }), () => model.GetTokenBytes(1), () => model.IsEnd(1),
                () => model.TokenizeChat(new[] { Message.User("a") }), () => model.OpenContext(),
            };
            foreach (Action call in after) Expect.Throws<ObjectDisposedException>(call, "Model");
            context.Dispose();
        }

        [Test]
        public static void TheMachine()
        {
            Expect.Equal("reference", Machine.InstructionSets[0]);
            Expect.Equal("BITNET_E_FORMAT", Library.NameOf(Status.Format));
            Expect.Equal("unknown status", Library.NameOf((Status)(-12345)));
            Expect.Fails(Status.Unsupported, () => Machine.Measure(1, "abacus"));
            Expect.Equal("cpu", Machine.Devices[0].Name);
            foreach (DeviceInfo device in Machine.Devices)
            {
                Expect.True(device.Usable == (device.Reason == null), device.Name + ": " + device.Reason);
            }
            MachineLimits limits = Machine.Measure(1);
            Expect.True(limits.StreamGigabytesPerSecond > 0 && limits.Int8GigamacsPerSecond > 0, "the limits");
        }
    }
}
