using System;
using System.Collections.Generic;
using System.Globalization;
using Bitnet;

namespace Chat
{
    /// <summary>The command line is wrong: a sentence on stderr, exit status 2.</summary>
    internal sealed class UsageException : Exception
    {
        internal UsageException(string sentence) : base(sentence + "; see chat --help")
        {
        }
    }

    /// <summary>The command line.</summary>
    internal sealed class Options
    {
        internal const string Usage =
            "usage: chat [QUESTION...] [options]\n"
            + "       chat -p TEXT [options]\n\n"
            + "Answers a question and ends; or, without one, each line of standard input.\n"
            + "/help lists what else can be typed. With -p, continues a text.\n\n"
            + "options:\n"
            + "  -p, --prompt TEXT       continue this text; control tokens in it are parsed\n"
            + "  --system TEXT           the system message\n"
            + "  -m, --model FILE        the model: a GGUF file; without it, the small one built in\n"
            + "  -t, --threads N         threads; 0 (default): one for each core\n"
            + "  -n, --max-tokens N      stop after N tokens; 0: no limit (default: none; with -p: 128)\n"
            + "  --temp T                temperature; 0 (default): greedy\n"
            + "  --seed S                the same seed gives the same text everywhere (default: 0)\n"
            + "  --top-k K               draw from the K likeliest tokens; 0: from all\n"
            + "  --top-p P               draw from the fewest tokens that reach probability P; 0 or 1: all\n"
            + "  --min-p P               drop tokens below P times the largest probability; 0: none\n"
            + "  -h, --help              this text\n";

        internal readonly List<string> Question = new List<string>();
        internal readonly SamplerOptions Sampling = new SamplerOptions();
        internal string Prompt, Model, SystemMessage = "";
        internal int Threads;
        internal long? MaxTokens;
        internal bool Help;

        internal static Options Parse(string[] arguments)
        {
            var options = new Options();
            for (int i = 0; i < arguments.Length; ++i)
            {
                string argument = arguments[i];
                if (argument == "--")
                {
                    for (++i; i < arguments.Length; ++i) options.Question.Add(arguments[i]);
                }
                else if (argument.Length < 2 || argument[0] != '-')
                {
                    options.Question.Add(argument);
                }
                else if (argument == "-h" || argument == "--help")
                {
                    options.Help = true;
                    return options;
                }
                else
                {
                    // --name=value, or the value is the next argument.
                    int equals = argument.StartsWith("--", StringComparison.Ordinal) ? argument.IndexOf('=') : -1;
                    string name = equals < 0 ? argument : argument.Substring(0, equals);
                    options.Set(name, () =>
                    {
                        if (equals >= 0) return argument.Substring(equals + 1);
                        if (++i == arguments.Length) throw new UsageException($"option {name} needs a value");
                        return arguments[i];
                    });
                }
            }
            if (options.Prompt != null && options.Question.Count > 0)
            {
                throw new UsageException($"'{options.Question[0]}' is not expected here");
            }
            return options;
        }

        private void Set(string name, Func<string> value)
        {
            switch (name)
            {
                case "-p": case "--prompt": Prompt = value(); break;
                case "--system": SystemMessage = value(); break;
                case "-m": case "--model": Model = value(); break;
                case "-t": case "--threads": Threads = Number(name, value(), int.Parse); break;
                case "-n": case "--max-tokens": MaxTokens = Number(name, value(), long.Parse); break;
                case "--temp": Sampling.Temperature = Number(name, value(), float.Parse); break;
                case "--seed": Sampling.Seed = Number(name, value(), ulong.Parse); break;
                case "--top-k": Sampling.TopK = Number(name, value(), int.Parse); break;
                case "--top-p": Sampling.TopP = Number(name, value(), float.Parse); break;
                case "--min-p": Sampling.MinP = Number(name, value(), float.Parse); break;
                default: throw new UsageException("unknown option " + name);
            }
        }

        private static T Number<T>(string name, string text, Func<string, NumberStyles, IFormatProvider, T> parse)
        {
            NumberStyles style = typeof(T) == typeof(float) ? NumberStyles.Float
                : typeof(T) == typeof(int) ? NumberStyles.AllowLeadingSign : NumberStyles.None;
            try
            {
                return parse(text, style, CultureInfo.InvariantCulture);
            }
            catch (Exception exception) when (exception is FormatException || exception is OverflowException)
            {
                throw new UsageException($"option {name}: expected a number in its range, found '{text}'");
            }
        }
    }
}
