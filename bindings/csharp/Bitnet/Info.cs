namespace Bitnet
{
    /// <summary>One message of a conversation.</summary>
    public sealed class Message
    {
        /// <summary>A message of any role.</summary>
        /// <param name="role">"system", "user" or "assistant".</param>
        /// <param name="content">What is said; control tokens in it are taken as plain text.</param>
        public Message(string role, string content)
        {
            Role = role ?? throw new System.ArgumentNullException(nameof(role));
            Content = content ?? throw new System.ArgumentNullException(nameof(content));
        }

        /// <summary>Who says it.</summary>
        public string Role { get; }
        /// <summary>What is said.</summary>
        public string Content { get; }

        /// <summary>How the assistant is to behave.</summary>
        /// <param name="content">What is said.</param>
        public static Message System(string content) => new Message("system", content);

        /// <summary>What the user says.</summary>
        /// <param name="content">What is said.</param>
        public static Message User(string content) => new Message("user", content);

        /// <summary>What the assistant replied.</summary>
        /// <param name="content">What is said.</param>
        public static Message Assistant(string content) => new Message("assistant", content);
    }

    /// <summary>What a model is.</summary>
    public sealed unsafe class ModelInfo
    {
        internal ModelInfo(bitnet_model_info* info)
        {
            Flags = (ModelFlags)info->flags;
            Family = Utf8.Text(info->family);
            Name = Utf8.Text(info->name);
            Device = Utf8.Text(info->device);
            InstructionSet = Utf8.Text(info->isa);
            ChatTemplate = Utf8.Text(info->chat_template);
            Fingerprint = info->fingerprint;
            Parameters = (long)info->parameters;
            FileBytes = (long)info->file_bytes;
            WeightBytes = (long)info->weight_bytes;
            BytesPerToken = (long)info->bytes_per_token;
            VocabularySize = info->vocab_size;
            ContextLength = info->context_length;
            Layers = info->layers;
            Width = info->width;
            FeedForwardWidth = info->ff_width;
            Heads = info->heads;
            KeyValueHeads = info->kv_heads;
            HeadWidth = info->head_dim;
            BeginToken = info->bos_token;
            EndToken = info->eos_token;
            EndOfTurnToken = info->eot_token;
            Activation = (Activation)info->activation;
            LoadSeconds = info->load_seconds;
            Weights = (Weights)info->weights;
            Head = (Head)info->head;
        }

        /// <summary>How it was opened.</summary>
        public ModelFlags Flags { get; }
        /// <summary>The architecture: "bitnet-b1.58", "llama".</summary>
        public string Family { get; }
        /// <summary>The file's name for it, or "".</summary>
        public string Name { get; }
        /// <summary>"cpu".</summary>
        public string Device { get; }
        /// <summary>The instruction set in use: "avx512".</summary>
        public string InstructionSet { get; }
        /// <summary>"bitnet", "llama-3", "falcon3" or "chatml"; "" for a model that cannot chat.</summary>
        public string ChatTemplate { get; }
        /// <summary>Tells models apart, proves nothing.</summary>
        public ulong Fingerprint { get; }
        /// <summary>Numbers in its weights.</summary>
        public long Parameters { get; }
        /// <summary>The length of its file.</summary>
        public long FileBytes { get; }
        /// <summary>What the library allocated for weights.</summary>
        public long WeightBytes { get; }
        /// <summary>Weight bytes read to decode and pick one token, without the cache.</summary>
        public long BytesPerToken { get; }
        /// <summary>Tokens are 0 up to this; so many numbers has a row of logits.</summary>
        public int VocabularySize { get; }
        /// <summary>Positions it was trained for.</summary>
        public int ContextLength { get; }
        /// <summary>Layers.</summary>
        public int Layers { get; }
        /// <summary>Numbers in an embedding.</summary>
        public int Width { get; }
        /// <summary>Width of the feed-forward block.</summary>
        public int FeedForwardWidth { get; }
        /// <summary>Heads of attention.</summary>
        public int Heads { get; }
        /// <summary>Heads that have keys and values of their own.</summary>
        public int KeyValueHeads { get; }
        /// <summary>Numbers in a head.</summary>
        public int HeadWidth { get; }
        /// <summary>Begins a text; -1: none.</summary>
        public int BeginToken { get; }
        /// <summary>Ends a text; -1: none.</summary>
        public int EndToken { get; }
        /// <summary>Ends a turn; -1: none.</summary>
        public int EndOfTurnToken { get; }
        /// <summary>Never Auto.</summary>
        public Activation Activation { get; }
        /// <summary>How long opening took.</summary>
        public double LoadSeconds { get; }
        /// <summary>Never Auto.</summary>
        public Weights Weights { get; }
        /// <summary>Never Auto.</summary>
        public Head Head { get; }
    }

    /// <summary>One tensor of a model file.</summary>
    public sealed unsafe class TensorInfo
    {
        internal TensorInfo(bitnet_tensor_info* info)
        {
            Name = Utf8.Text(info->name);
            Type = Utf8.Text(info->type);
            var shape = new long[info->dimensions];
            for (int i = 0; i < shape.Length; ++i) shape[i] = (long)info->shape[i];
            Shape = shape;
            Offset = (long)info->offset;
            Bytes = (long)info->bytes;
        }

        /// <summary>Its name.</summary>
        public string Name { get; }
        /// <summary>"I2_S", "F16", ...</summary>
        public string Type { get; }
        /// <summary>The first is the length of a row.</summary>
        public System.Collections.Generic.IReadOnlyList<long> Shape { get; }
        /// <summary>Where it lies in the file.</summary>
        public long Offset { get; }
        /// <summary>Its size there.</summary>
        public long Bytes { get; }
    }

    /// <summary>Memory that a context takes.</summary>
    public sealed unsafe class Estimate
    {
        internal Estimate(bitnet_estimate* estimate)
        {
            FileBytes = (long)estimate->file_bytes;
            WeightBytes = (long)estimate->weight_bytes;
            CacheBytes = (long)estimate->cache_bytes;
            WorkBytes = (long)estimate->work_bytes;
            TotalBytes = (long)estimate->total_bytes;
            DeviceBytes = (long)estimate->device_bytes;
        }

        /// <summary>The mapped file, of which embeddings and head are read.</summary>
        public long FileBytes { get; }
        /// <summary>Packed weights in the host's memory, like the two below; 0 with a device.</summary>
        public long WeightBytes { get; }
        /// <summary>The cache of keys and values; 0 with a device.</summary>
        public long CacheBytes { get; }
        /// <summary>Everything else of the context.</summary>
        public long WorkBytes { get; }
        /// <summary>Weights, cache, work, and the part of the file that stays in use.</summary>
        public long TotalBytes { get; }
        /// <summary>Of a device's memory: weights and context; 0: the CPU computes.</summary>
        public long DeviceBytes { get; }
    }

    /// <summary>What a context has done since it was opened.</summary>
    public sealed unsafe class ContextStats
    {
        internal ContextStats(bitnet_ctx_stats* stats)
        {
            Threads = stats->threads;
            Batches = (long)stats->batches;
            Tokens = (long)stats->tokens;
            SingleTokens = (long)stats->single_tokens;
            Seconds = stats->seconds;
            SingleSeconds = stats->single_seconds;
            HeadRows = (long)stats->head_rows;
            PositionsUsed = (long)stats->positions_used;
            Positions = (long)stats->positions;
            CacheBytes = (long)stats->cache_bytes;
            WorkBytes = (long)stats->work_bytes;
            WeightSeconds = stats->weight_seconds;
            AttentionSeconds = stats->attention_seconds;
            ScreenedTokens = (long)stats->screened_tokens;
            ScreenedRows = (long)stats->screened_rows;
            FullTokens = (long)stats->full_tokens;
            ScreenedBound = stats->screened_bound;
        }

        /// <summary>Threads it decodes with.</summary>
        public int Threads { get; }
        /// <summary>Batches decoded.</summary>
        public long Batches { get; }
        /// <summary>Entries they had.</summary>
        public long Tokens { get; }
        /// <summary>Of these, in batches of one.</summary>
        public long SingleTokens { get; }
        /// <summary>Time in batches.</summary>
        public double Seconds { get; }
        /// <summary>Time in batches of one.</summary>
        public double SingleSeconds { get; }
        /// <summary>Rows of logits computed.</summary>
        public long HeadRows { get; }
        /// <summary>Cache positions in use, whole pages, shared pages once.</summary>
        public long PositionsUsed { get; }
        /// <summary>Cache positions there are.</summary>
        public long Positions { get; }
        /// <summary>Memory of the cache.</summary>
        public long CacheBytes { get; }
        /// <summary>Memory of everything else.</summary>
        public long WorkBytes { get; }
        /// <summary>Of <see cref="SingleSeconds"/>: products with weights.</summary>
        public double WeightSeconds { get; }
        /// <summary>Of <see cref="SingleSeconds"/>: attention.</summary>
        public double AttentionSeconds { get; }
        /// <summary>Entries read through the screened head.</summary>
        public long ScreenedTokens { get; }
        /// <summary>Rows of the head computed exactly for them.</summary>
        public long ScreenedRows { get; }
        /// <summary>Of <see cref="ScreenedTokens"/>, those that had to compute every row after all.</summary>
        public long FullTokens { get; }
        /// <summary>The largest error bound met, in standard deviations of the logits it bounds.</summary>
        public double ScreenedBound { get; }
    }

    /// <summary>What a generator has done.</summary>
    public sealed unsafe class GenerateInfo
    {
        internal GenerateInfo(bitnet_generate_info* info)
        {
            EndReason = (EndReason)info->end_reason;
            Tokens = new System.ReadOnlySpan<int>(info->tokens, (int)info->token_count).ToArray();
            PromptTokens = (long)info->prompt_tokens;
            ReusedTokens = (long)info->reused_tokens;
            PromptSeconds = info->prompt_seconds;
            DecodeSeconds = info->decode_seconds;
            DraftedTokens = (long)info->drafted_tokens;
            AcceptedTokens = (long)info->accepted_tokens;
        }

        /// <summary>Why the reply ended; None while it goes on.</summary>
        public EndReason EndReason { get; }
        /// <summary>Generated so far, without the one that ended it.</summary>
        public System.Collections.Generic.IReadOnlyList<int> Tokens { get; }
        /// <summary>Tokens of the prompt.</summary>
        public long PromptTokens { get; }
        /// <summary>Of these, taken from the cache.</summary>
        public long ReusedTokens { get; }
        /// <summary>Time to decode the rest of the prompt.</summary>
        public double PromptSeconds { get; }
        /// <summary>Time to decode the reply and pick its tokens.</summary>
        public double DecodeSeconds { get; }
        /// <summary>Tokens tried ahead.</summary>
        public long DraftedTokens { get; }
        /// <summary>Of these, what the reply then had.</summary>
        public long AcceptedTokens { get; }
    }
}
