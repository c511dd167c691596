using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using System.Threading;
using Bitnet;

namespace Chat
{
    /// <summary>What was said so far, within the room the context has.</summary>
    internal sealed class Conversation
    {
        private readonly Model model;
        private readonly Context context;
        private readonly Options options;
        private readonly List<Message> turns = new List<Message>(); // question, reply, question, reply
        private string system;

        internal Conversation(Model model, Context context, Options options)
        {
            this.model = model;
            this.context = context;
            this.options = options;
            system = options.SystemMessage;
            PromptTokens(""); // a model that cannot chat fails here, not after the first question
        }

        /// <summary>Forgets what was said; the system message stays.</summary>
        internal void Reset()
        {
            turns.Clear();
        }

        /// <summary>Starts anew under this system message; "": none.</summary>
        internal void SetSystem(string text)
        {
            system = text;
            Reset();
        }

        /// <summary>Prints the reply piece by piece; false when it was stopped. A question that fails counts as not
        /// asked.</summary>
        internal bool Answer(string question, CancellationToken stop)
        {
            MakeRoom(question);
            var ask = new GenerateOptions
            {
                Messages = Messages(question), MaxTokens = options.MaxTokens ?? 0, Sampling = options.Sampling,
            };
            var reply = new StringBuilder();
            bool whole = true;
            using (Generator generator = context.OpenGenerator(ask))
            {
                try
                {
                    while (generator.Next(stop))
                    {
                        reply.Append(generator.Piece);
                        Terminal.Print(generator.PieceUtf8);
                    }
                }
                catch (OperationCanceledException)
                {
                    whole = false;
                }
                finally
                {
                    Terminal.Print("\n");
                }
                GenerateInfo info = generator.GetInfo();
                if (info.EndReason == EndReason.Context)
                {
                    Terminal.Note("chat: the context is full: the reply ends early\n");
                }
                if (!Console.IsErrorRedirected) NoteSpeed(info);
            }
            if (reply.Length > 0) // nothing said is nothing to remember
            {
                turns.Add(Message.User(question));
                turns.Add(Message.Assistant(reply.ToString()));
            }
            return whole;
        }

        private static void NoteSpeed(GenerateInfo info)
        {
            long computed = info.PromptTokens - info.ReusedTokens;
            Terminal.Note(string.Format(CultureInfo.InvariantCulture,
                "[{0} tokens, {1:F1} tokens/s; prompt {2} tokens, {3} of them computed, {4:F1} tokens/s]\n",
                info.Tokens.Count, Speed(info.Tokens.Count, info.DecodeSeconds),
                info.PromptTokens, computed, Speed(computed, info.PromptSeconds)));
        }

        private static double Speed(long tokens, double seconds)
        {
            return seconds > 0 ? tokens / seconds : 0;
        }

        private List<Message> Messages(string question)
        {
            var list = new List<Message>();
            if (system.Length > 0) list.Add(Message.System(system));
            list.AddRange(turns);
            list.Add(Message.User(question));
            return list;
        }

        private long PromptTokens(string question)
        {
            return model.TokenizeChat(Messages(question)).Length;
        }

        /// <summary>Drops the oldest turns until the prompt leaves a quarter of the context to the reply, or less if
        /// the reply is limited to less.</summary>
        private void MakeRoom(string question)
        {
            long positions = Math.Min(context.GetStats().Positions, model.Info.ContextLength);
            long room = positions / 4;
            if (options.MaxTokens > 0) room = Math.Min(room, options.MaxTokens.Value);
            int dropped = 0;
            while (turns.Count > 0 && PromptTokens(question) + room > positions)
            {
                turns.RemoveRange(0, 2);
                ++dropped;
            }
            if (dropped == 0) return;
            string what = dropped == 1 ? "turn" : dropped + " turns";
            Terminal.Note($"chat: the context is full: dropped the oldest {what}\n");
        }
    }
}
