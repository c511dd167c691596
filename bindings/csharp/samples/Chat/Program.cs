// A chat at the terminal, from a pipe, or one question from the command line; or a text continued.
using System;
using System.IO;
using Bitnet;

namespace Chat
{
    internal static class Program
    {
        private const string Help =
            "/reset          forget what was said\n"
            + "/system TEXT    start anew under this system message (without TEXT: under none)\n"
            + "/help           this list\n"
            + "/exit           leave, as the end of input does\n"
            + "Ctrl-C stops a reply; at the prompt it leaves.\n";

        private static int Main(string[] arguments)
        {
            try
            {
                return Run(Options.Parse(arguments));
            }
            catch (UsageException wrong)
            {
                Terminal.Note($"chat: {wrong.Message}\n");
                return 2;
            }
            catch (Exception failure)
                when (failure is BitnetException || failure is DllNotFoundException || failure is IOException)
            {
                Terminal.Note($"chat: {failure.Message}\n");
                return 1;
            }
        }

        private static int Run(Options options)
        {
            if (options.Help)
            {
                Terminal.Print(Options.Usage);
                return 0;
            }
            using (Model model = Open(options))
            using (Context context = model.OpenContext(new ContextOptions { Threads = options.Threads, Sequences = 1 }))
            {
                if (options.Prompt != null) return Continue(context, options);
                Interrupt.Watch();
                var conversation = new Conversation(model, context, options);
                if (options.Question.Count > 0)
                {
                    string question = string.Join(" ", options.Question);
                    return Interrupt.Stops(stop => conversation.Answer(question, stop)) ? 0 : Interrupt.Status;
                }
                if (!Console.IsInputRedirected)
                {
                    Terminal.Note($"{Terminal.Printable(model.Info.Name)}. /help lists the commands.\n");
                }
                return AnswerLines(conversation);
            }
        }

        private static Model Open(Options options)
        {
            var how = new ModelOptions
            {
                Threads = options.Threads,
                Log = (level, text) =>
                {
                    string word = level.ToString().ToLowerInvariant();
                    if (level <= LogLevel.Warning) Terminal.Note($"chat: {word}: {text}\n");
                },
            };
            if (options.Model != null) return Model.Open(options.Model, how);
            using (Stream small = typeof(Program).Assembly.GetManifestResourceStream("bitnet-nano.gguf"))
            {
                return Model.Open(small, how);
            }
        }

        private static int Continue(Context context, Options options)
        {
            var text = new GenerateOptions
            {
                Prompt = options.Prompt, MaxTokens = options.MaxTokens ?? 128, Sampling = options.Sampling,
            };
            using (Generator generator = context.OpenGenerator(text))
            {
                while (generator.Next()) Terminal.Print(generator.PieceUtf8);
            }
            Terminal.Print("\n");
            return 0;
        }

        /// <summary>Answers each line. A question that fails does not end the chat, but shows in the exit
        /// status.</summary>
        private static int AnswerLines(Conversation conversation)
        {
            int status = 0;
            for (string line; (line = Terminal.ReadLine()) != null;)
            {
                if (line.Trim(' ', '\t').Length == 0) continue;
                int blank = line.IndexOf(' ');
                string rest = blank < 0 ? "" : line.Substring(blank + 1);
                switch (blank < 0 ? line : line.Substring(0, blank))
                {
                    case "/exit": return status;
                    case "/help": Terminal.Note(Help); continue;
                    case "/reset": conversation.Reset(); continue;
                    case "/system": conversation.SetSystem(rest); continue;
                }
                try
                {
                    Interrupt.Stops(stop => conversation.Answer(line, stop));
                }
                catch (BitnetException failure)
                {
                    Terminal.Note($"chat: {failure.Message}\n");
                    status = 1;
                }
            }
            if (!Console.IsInputRedirected) Terminal.Print("\n");
            return status;
        }
    }
}
