using System;

namespace Bitnet
{
    /// <summary>Why a call failed. Later versions of the library may give numbers that have no name here: treat those
    /// as failures like any other.</summary>
    public enum Status
    {
        /// <summary>Nothing failed.</summary>
        Ok = bitnet_status.BITNET_OK,
        /// <summary>There is nothing more to come; no failure.</summary>
        Done = bitnet_status.BITNET_DONE,
        /// <summary>A number or text is out of its range: a defect of the program. The message says which.</summary>
        Argument = bitnet_status.BITNET_E_ARGUMENT,
        /// <summary>The call makes no sense now, as asking for logits that no entry wanted.</summary>
        State = bitnet_status.BITNET_E_STATE,
        /// <summary>The system has no memory. Nothing was done; release something and call again.</summary>
        Memory = bitnet_status.BITNET_E_MEMORY,
        /// <summary>A file cannot be opened or read; the message has the path and the system's reason.</summary>
        IO = bitnet_status.BITNET_E_IO,
        /// <summary>The file is damaged; the message says where. Get it again.</summary>
        Format = bitnet_status.BITNET_E_FORMAT,
        /// <summary>Valid, but not for this version of the library or this machine.</summary>
        Unsupported = bitnet_status.BITNET_E_UNSUPPORTED,
        /// <summary>The context has no room: truncate a sequence, or open a larger context.</summary>
        ContextFull = bitnet_status.BITNET_E_CONTEXT_FULL,
        /// <summary>The call was stopped. This package throws <see cref="OperationCanceledException"/>
        /// instead.</summary>
        Cancelled = bitnet_status.BITNET_E_CANCELLED,
        /// <summary>A buffer is too small. This package sizes its buffers itself.</summary>
        Buffer = bitnet_status.BITNET_E_BUFFER,
        /// <summary>No such metadata key or tensor.</summary>
        NotFound = bitnet_status.BITNET_E_NOT_FOUND,
        /// <summary>A device cannot be used; the CPU still works.</summary>
        Device = bitnet_status.BITNET_E_DEVICE,
        /// <summary>A defect of the library: report the message and dispose of the objects involved.</summary>
        Internal = bitnet_status.BITNET_E_INTERNAL,
    }

    /// <summary>How serious a message of <see cref="ModelOptions.Log"/> is.</summary>
    public enum LogLevel
    {
        /// <summary>Something failed.</summary>
        Error = bitnet_log_level.BITNET_LOG_ERROR,
        /// <summary>A defect of the file was tolerated; with <see cref="ModelFlags.Strict"/> it is a failure.</summary>
        Warning = bitnet_log_level.BITNET_LOG_WARNING,
        /// <summary>Something worth knowing.</summary>
        Info = bitnet_log_level.BITNET_LOG_INFO,
    }

    /// <summary>How a model is opened.</summary>
    [Flags]
    public enum ModelFlags : uint
    {
        /// <summary>The defaults.</summary>
        None = 0,
        /// <summary>Tolerated defects of the file, and fallbacks to another device or kernel, are failures.</summary>
        Strict = Native.BITNET_MODEL_STRICT,
        /// <summary>Only what describes the model is read: quick and cheap, but no context can be opened.</summary>
        Describe = Native.BITNET_MODEL_DESCRIBE,
        /// <summary>The file is read into memory instead of mapped. A mapped file that somebody truncates while it is
        /// in use ends the process; a file in memory costs its size.</summary>
        Read = Native.BITNET_MODEL_READ,
    }

    /// <summary>How the 2-bit codes of I2_S tensors lie; files do not say.</summary>
    public enum I2SLayout
    {
        /// <summary>128, as in all published files.</summary>
        Auto = bitnet_i2s_layout.BITNET_I2S_AUTO,
        /// <summary>Blocks of 128.</summary>
        Block128 = bitnet_i2s_layout.BITNET_I2S_128,
        /// <summary>Blocks of 64, as ARM builds of bitnet.cpp write since 2026.</summary>
        Block64 = bitnet_i2s_layout.BITNET_I2S_64,
        /// <summary>Four rows together, as bitnet.cpp built without ACT_PARALLEL writes.</summary>
        FourRows = bitnet_i2s_layout.BITNET_I2S_4ROW,
    }

    /// <summary>The function at the gate of the feed-forward block.</summary>
    public enum Activation
    {
        /// <summary>What the file says, else what the family uses.</summary>
        Auto = bitnet_activation.BITNET_ACTIVATION_AUTO,
        /// <summary>Squared ReLU.</summary>
        Relu2 = bitnet_activation.BITNET_ACTIVATION_RELU2,
        /// <summary>SiLU.</summary>
        Silu = bitnet_activation.BITNET_ACTIVATION_SILU,
    }

    /// <summary>How ternary weights are kept. Changes speed and memory, no bit of any result.</summary>
    public enum Weights
    {
        /// <summary>The faster of the next two here, found by a short trial while opening.</summary>
        Auto = bitnet_weights.BITNET_WEIGHTS_AUTO,
        /// <summary>Packed anew, four weights a byte.</summary>
        TwoBit = bitnet_weights.BITNET_WEIGHTS_2BIT,
        /// <summary>Packed anew, five weights a byte: less to read, more to compute.</summary>
        Base3 = bitnet_weights.BITNET_WEIGHTS_BASE3,
        /// <summary>As they lie in the mapped file: opens at once, least memory, slower. Only I2_S (128) and
        /// TQ2_0.</summary>
        File = bitnet_weights.BITNET_WEIGHTS_FILE,
    }

    /// <summary>How the next token is found among the head's rows. Changes no pick.</summary>
    public enum Head
    {
        /// <summary>Screened where the head is large enough for it to pay.</summary>
        Auto = bitnet_head.BITNET_HEAD_AUTO,
        /// <summary>Every row is computed.</summary>
        Full = bitnet_head.BITNET_HEAD_FULL,
        /// <summary>A copy in 7 bits a weight, with proven error bounds, is read first, then only rows that can matter.</summary>
        Screened = bitnet_head.BITNET_HEAD_SCREENED,
    }

    /// <summary>How text becomes tokens.</summary>
    [Flags]
    public enum TokenizeFlags : uint
    {
        /// <summary>Plain characters, nothing added.</summary>
        None = 0,
        /// <summary>What the model wants around a whole text is added (usually a begin token).</summary>
        Special = Native.BITNET_TOKENIZE_SPECIAL,
        /// <summary>Texts of control tokens become those tokens. Not for text you do not trust.</summary>
        Parse = Native.BITNET_TOKENIZE_PARSE,
    }

    /// <summary>What is computed for a <see cref="BatchEntry"/>, besides its keys and values.</summary>
    [Flags]
    public enum Want : uint
    {
        /// <summary>Nothing: the quickest.</summary>
        None = 0,
        /// <summary><see cref="Context.GetLogits(int)"/> will be asked for it; serves <see cref="Context.Sample"/>,
        /// too.</summary>
        Logits = Native.BITNET_WANT_LOGITS,
        /// <summary><see cref="Context.GetEmbedding(int)"/> will be asked for it.</summary>
        Embedding = Native.BITNET_WANT_EMBEDDING,
        /// <summary><see cref="Context.Sample"/> will be asked for it: less work than logits.</summary>
        Sample = Native.BITNET_WANT_SAMPLE,
    }

    /// <summary>Why a reply ended.</summary>
    public enum EndReason
    {
        /// <summary>It is not over yet.</summary>
        None = bitnet_end_reason.BITNET_END_NONE,
        /// <summary>The model ended it.</summary>
        Token = bitnet_end_reason.BITNET_END_TOKEN,
        /// <summary>A text of <see cref="GenerateOptions.Stop"/> came.</summary>
        Stop = bitnet_end_reason.BITNET_END_STOP,
        /// <summary><see cref="GenerateOptions.MaxTokens"/> was reached.</summary>
        Limit = bitnet_end_reason.BITNET_END_LIMIT,
        /// <summary>The context is full.</summary>
        Context = bitnet_end_reason.BITNET_END_CONTEXT,
    }
}
