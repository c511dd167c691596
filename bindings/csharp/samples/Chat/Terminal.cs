using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading;

namespace Chat
{
    /// <summary>Standard input and output as the bytes they are: UTF-8, "\n", nothing added, nothing held
    /// back.</summary>
    internal static class Terminal
    {
        private static readonly Stream Input = Console.OpenStandardInput();
        private static readonly Stream Output = Console.OpenStandardOutput();
        private static readonly Stream Error = Console.OpenStandardError();
        private static readonly byte[] Block = new byte[4096];
        private static int at, end; // what is left of the block

        internal static void Print(ReadOnlySpan<byte> utf8)
        {
            byte[] bytes = utf8.ToArray();
            Output.Write(bytes, 0, bytes.Length);
            Output.Flush();
        }

        internal static void Print(string text)
        {
            Print(Encoding.UTF8.GetBytes(text));
        }

        internal static void Note(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            Error.Write(bytes, 0, bytes.Length);
        }

        /// <summary>What a stranger's file says, fit for a terminal, to which control characters are orders.</summary>
        internal static string Printable(string text)
        {
            var printable = new StringBuilder();
            foreach (char character in text)
            {
                if (!char.IsControl(character))
                {
                    printable.Append(character);
                    continue;
                }
                foreach (byte one in Encoding.UTF8.GetBytes(character.ToString())) printable.Append($"\\x{one:x2}");
            }
            return printable.ToString();
        }

        /// <summary>The next line without its end; null at the end of input.</summary>
        internal static string ReadLine()
        {
            if (!Console.IsInputRedirected && !Console.IsOutputRedirected) Print("> ");
            var line = new List<byte>();
            for (;;)
            {
                if (at == end)
                {
                    at = 0;
                    end = Input.Read(Block, 0, Block.Length);
                    if (end == 0) return line.Count == 0 ? null : Text(line);
                }
                byte next = Block[at++];
                if (next == '\n') return Text(line);
                line.Add(next);
            }
        }

        private static string Text(List<byte> line)
        {
            string text = Encoding.UTF8.GetString(line.ToArray());
            return text.EndsWith("\r", StringComparison.Ordinal) ? text.Substring(0, text.Length - 1) : text;
        }
    }

    /// <summary>Ctrl-C that stops a reply; without one it ends the program.</summary>
    internal static class Interrupt
    {
        internal const int Status = 130; // as shells say it

        private static volatile CancellationTokenSource reply;

        internal static void Watch()
        {
#if MONO
            // Mono's CancelKeyPress takes the terminal over: it clears the screen and echoes no input.
            var signal = new Mono.Unix.UnixSignal(Mono.Unix.Native.Signum.SIGINT);
            var watcher = new Thread(() =>
            {
                while (signal.WaitOne()) Came();
            });
            watcher.IsBackground = true;
            watcher.Start();
#else
            Console.CancelKeyPress += (sender, key) =>
            {
                key.Cancel = true;
                Came();
            };
#endif
        }

        private static void Came()
        {
            CancellationTokenSource now = reply;
            if (now == null) Environment.Exit(Status);
            now.Cancel();
        }

        /// <summary>Makes a reply that Ctrl-C stops.</summary>
        internal static bool Stops(Func<CancellationToken, bool> answer)
        {
            reply = new CancellationTokenSource();
            try
            {
                return answer(reply.Token);
            }
            finally
            {
                reply = null;
            }
        }
    }
}
