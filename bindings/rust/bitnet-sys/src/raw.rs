// Written by bindings/generate/rust.py from include/bitnet.h with bindgen 0.60.1 and rustfmt 1.5.1; do not edit.
pub const BITNET_VERSION_MAJOR: u32 = 0;
pub const BITNET_VERSION_MINOR: u32 = 3;
pub const BITNET_VERSION_PATCH: u32 = 0;
pub const BITNET_ABI_VERSION: u32 = 0;
extern "C" {
    pub fn bitnet_version() -> u32;
}
extern "C" {
    pub fn bitnet_version_string() -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn bitnet_abi_version() -> u32;
}
impl bitnet_status {
    pub const BITNET_OK: bitnet_status = bitnet_status(0);
}
impl bitnet_status {
    pub const BITNET_DONE: bitnet_status = bitnet_status(1);
}
impl bitnet_status {
    pub const BITNET_E_ARGUMENT: bitnet_status = bitnet_status(-1);
}
impl bitnet_status {
    pub const BITNET_E_STATE: bitnet_status = bitnet_status(-2);
}
impl bitnet_status {
    pub const BITNET_E_MEMORY: bitnet_status = bitnet_status(-3);
}
impl bitnet_status {
    pub const BITNET_E_IO: bitnet_status = bitnet_status(-4);
}
impl bitnet_status {
    pub const BITNET_E_FORMAT: bitnet_status = bitnet_status(-5);
}
impl bitnet_status {
    pub const BITNET_E_UNSUPPORTED: bitnet_status = bitnet_status(-6);
}
impl bitnet_status {
    pub const BITNET_E_CONTEXT_FULL: bitnet_status = bitnet_status(-7);
}
impl bitnet_status {
    pub const BITNET_E_CANCELLED: bitnet_status = bitnet_status(-8);
}
impl bitnet_status {
    pub const BITNET_E_BUFFER: bitnet_status = bitnet_status(-9);
}
impl bitnet_status {
    pub const BITNET_E_NOT_FOUND: bitnet_status = bitnet_status(-10);
}
impl bitnet_status {
    pub const BITNET_E_DEVICE: bitnet_status = bitnet_status(-11);
}
impl bitnet_status {
    pub const BITNET_E_INTERNAL: bitnet_status = bitnet_status(-12);
}
impl bitnet_status {
    pub const BITNET_STATUS_INT32: bitnet_status = bitnet_status(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_status(pub ::std::os::raw::c_int);
extern "C" {
    pub fn bitnet_status_name(status: bitnet_status) -> *const ::std::os::raw::c_char;
}
#[repr(C)]
pub struct bitnet_error {
    pub size: u32,
    pub status: i32,
    pub message: [::std::os::raw::c_char; 504usize],
}
impl bitnet_log_level {
    pub const BITNET_LOG_ERROR: bitnet_log_level = bitnet_log_level(1);
}
impl bitnet_log_level {
    pub const BITNET_LOG_WARNING: bitnet_log_level = bitnet_log_level(2);
}
impl bitnet_log_level {
    pub const BITNET_LOG_INFO: bitnet_log_level = bitnet_log_level(3);
}
impl bitnet_log_level {
    pub const BITNET_LOG_INT32: bitnet_log_level = bitnet_log_level(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_log_level(pub ::std::os::raw::c_uint);
pub type bitnet_log_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user: *mut ::std::os::raw::c_void,
        level: bitnet_log_level,
        text: *const ::std::os::raw::c_char,
    ),
>;
pub type bitnet_progress_fn =
    ::std::option::Option<unsafe extern "C" fn(user: *mut ::std::os::raw::c_void, done: f64) -> ::std::os::raw::c_int>;
#[repr(C)]
pub struct bitnet_model {
    _unused: [u8; 0],
}
pub const BITNET_MODEL_STRICT: u32 = 1;
pub const BITNET_MODEL_DESCRIBE: u32 = 2;
pub const BITNET_MODEL_READ: u32 = 4;
impl bitnet_i2s_layout {
    pub const BITNET_I2S_AUTO: bitnet_i2s_layout = bitnet_i2s_layout(0);
}
impl bitnet_i2s_layout {
    pub const BITNET_I2S_128: bitnet_i2s_layout = bitnet_i2s_layout(1);
}
impl bitnet_i2s_layout {
    pub const BITNET_I2S_64: bitnet_i2s_layout = bitnet_i2s_layout(2);
}
impl bitnet_i2s_layout {
    pub const BITNET_I2S_4ROW: bitnet_i2s_layout = bitnet_i2s_layout(3);
}
impl bitnet_i2s_layout {
    pub const BITNET_I2S_INT32: bitnet_i2s_layout = bitnet_i2s_layout(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_i2s_layout(pub ::std::os::raw::c_uint);
impl bitnet_activation {
    pub const BITNET_ACTIVATION_AUTO: bitnet_activation = bitnet_activation(0);
}
impl bitnet_activation {
    pub const BITNET_ACTIVATION_RELU2: bitnet_activation = bitnet_activation(1);
}
impl bitnet_activation {
    pub const BITNET_ACTIVATION_SILU: bitnet_activation = bitnet_activation(2);
}
impl bitnet_activation {
    pub const BITNET_ACTIVATION_INT32: bitnet_activation = bitnet_activation(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_activation(pub ::std::os::raw::c_uint);
impl bitnet_weights {
    pub const BITNET_WEIGHTS_AUTO: bitnet_weights = bitnet_weights(0);
}
impl bitnet_weights {
    pub const BITNET_WEIGHTS_2BIT: bitnet_weights = bitnet_weights(1);
}
impl bitnet_weights {
    pub const BITNET_WEIGHTS_BASE3: bitnet_weights = bitnet_weights(2);
}
impl bitnet_weights {
    pub const BITNET_WEIGHTS_FILE: bitnet_weights = bitnet_weights(3);
}
impl bitnet_weights {
    pub const BITNET_WEIGHTS_INT32: bitnet_weights = bitnet_weights(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_weights(pub ::std::os::raw::c_uint);
impl bitnet_head {
    pub const BITNET_HEAD_AUTO: bitnet_head = bitnet_head(0);
}
impl bitnet_head {
    pub const BITNET_HEAD_FULL: bitnet_head = bitnet_head(1);
}
impl bitnet_head {
    pub const BITNET_HEAD_SCREENED: bitnet_head = bitnet_head(2);
}
impl bitnet_head {
    pub const BITNET_HEAD_INT32: bitnet_head = bitnet_head(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_head(pub ::std::os::raw::c_uint);
#[repr(C)]
pub struct bitnet_model_options {
    pub size: u32,
    pub flags: u32,
    pub device: *const ::std::os::raw::c_char,
    pub isa: *const ::std::os::raw::c_char,
    pub threads: i32,
    pub i2s_layout: i32,
    pub activation: i32,
    pub reserved: i32,
    pub log: bitnet_log_fn,
    pub log_user: *mut ::std::os::raw::c_void,
    pub progress: bitnet_progress_fn,
    pub progress_user: *mut ::std::os::raw::c_void,
    pub weights: i32,
    pub head: i32,
}
extern "C" {
    pub fn bitnet_model_open(
        path: *const ::std::os::raw::c_char,
        options: *const bitnet_model_options,
        model: *mut *mut bitnet_model,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_model_open_memory(
        data: *const ::std::os::raw::c_void,
        bytes: u64,
        options: *const bitnet_model_options,
        model: *mut *mut bitnet_model,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_source {
    pub size: u32,
    pub reserved: u32,
    pub bytes: u64,
    pub read_at: ::std::option::Option<
        unsafe extern "C" fn(
            user: *mut ::std::os::raw::c_void,
            offset: u64,
            buffer: *mut ::std::os::raw::c_void,
            bytes: u64,
        ) -> ::std::os::raw::c_int,
    >,
    pub user: *mut ::std::os::raw::c_void,
}
extern "C" {
    pub fn bitnet_model_open_source(
        source: *const bitnet_source,
        options: *const bitnet_model_options,
        model: *mut *mut bitnet_model,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_model_close(model: *mut bitnet_model);
}
#[repr(C)]
pub struct bitnet_model_info {
    pub size: u32,
    pub flags: u32,
    pub family: *const ::std::os::raw::c_char,
    pub name: *const ::std::os::raw::c_char,
    pub device: *const ::std::os::raw::c_char,
    pub isa: *const ::std::os::raw::c_char,
    pub chat_template: *const ::std::os::raw::c_char,
    pub fingerprint: u64,
    pub parameters: u64,
    pub file_bytes: u64,
    pub weight_bytes: u64,
    pub bytes_per_token: u64,
    pub vocab_size: i32,
    pub context_length: i32,
    pub layers: i32,
    pub width: i32,
    pub ff_width: i32,
    pub heads: i32,
    pub kv_heads: i32,
    pub head_dim: i32,
    pub bos_token: i32,
    pub eos_token: i32,
    pub eot_token: i32,
    pub activation: i32,
    pub load_seconds: f64,
    pub weights: i32,
    pub head: i32,
}
extern "C" {
    pub fn bitnet_model_get_info(
        model: *const bitnet_model,
        info: *mut bitnet_model_info,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_model_metadata_count(model: *const bitnet_model) -> u64;
}
extern "C" {
    pub fn bitnet_model_metadata_key(model: *const bitnet_model, index: u64) -> *const ::std::os::raw::c_char;
}
extern "C" {
    pub fn bitnet_model_metadata_text(
        model: *const bitnet_model,
        key: *const ::std::os::raw::c_char,
        max_elements: u64,
        buffer: *mut ::std::os::raw::c_char,
        capacity: u64,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_tensor_info {
    pub size: u32,
    pub dimensions: u32,
    pub name: *const ::std::os::raw::c_char,
    pub type_: *const ::std::os::raw::c_char,
    pub shape: [u64; 4usize],
    pub offset: u64,
    pub bytes: u64,
}
extern "C" {
    pub fn bitnet_model_tensor_count(model: *const bitnet_model) -> u64;
}
extern "C" {
    pub fn bitnet_model_tensor(
        model: *const bitnet_model,
        index: u64,
        info: *mut bitnet_tensor_info,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
pub const BITNET_TOKENIZE_SPECIAL: u32 = 1;
pub const BITNET_TOKENIZE_PARSE: u32 = 2;
pub const BITNET_DETOKENIZE_SPECIAL: u32 = 4;
extern "C" {
    pub fn bitnet_tokenize(
        model: *const bitnet_model,
        text: *const ::std::os::raw::c_char,
        bytes: u64,
        flags: u32,
        tokens: *mut i32,
        capacity: u64,
        count: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_detokenize(
        model: *const bitnet_model,
        tokens: *const i32,
        count: u64,
        flags: u32,
        text: *mut ::std::os::raw::c_char,
        capacity: u64,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_token_piece(
        model: *const bitnet_model,
        token: i32,
        flags: u32,
        piece: *mut *const ::std::os::raw::c_char,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_token_is_end(model: *const bitnet_model, token: i32) -> ::std::os::raw::c_int;
}
#[repr(C)]
pub struct bitnet_message {
    pub role: *const ::std::os::raw::c_char,
    pub content: *const ::std::os::raw::c_char,
    pub content_bytes: u64,
}
extern "C" {
    pub fn bitnet_chat_tokenize(
        model: *const bitnet_model,
        messages: *const bitnet_message,
        message_count: u64,
        template_name: *const ::std::os::raw::c_char,
        tokens: *mut i32,
        capacity: u64,
        count: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_chat_render(
        model: *const bitnet_model,
        messages: *const bitnet_message,
        message_count: u64,
        template_name: *const ::std::os::raw::c_char,
        text: *mut ::std::os::raw::c_char,
        capacity: u64,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_ctx {
    _unused: [u8; 0],
}
pub type bitnet_execute_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user: *mut ::std::os::raw::c_void,
        task: ::std::option::Option<unsafe extern "C" fn(argument: *mut ::std::os::raw::c_void, index: i32)>,
        argument: *mut ::std::os::raw::c_void,
        count: i32,
    ),
>;
#[repr(C)]
pub struct bitnet_ctx_options {
    pub size: u32,
    pub flags: u32,
    pub positions: u32,
    pub sequences: u32,
    pub batch: u32,
    pub threads: i32,
    pub execute: bitnet_execute_fn,
    pub execute_user: *mut ::std::os::raw::c_void,
}
extern "C" {
    pub fn bitnet_ctx_open(
        model: *const bitnet_model,
        options: *const bitnet_ctx_options,
        ctx: *mut *mut bitnet_ctx,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_close(ctx: *mut bitnet_ctx);
}
pub const BITNET_WANT_LOGITS: u32 = 1;
pub const BITNET_WANT_EMBEDDING: u32 = 2;
pub const BITNET_WANT_SAMPLE: u32 = 4;
#[repr(C)]
pub struct bitnet_batch_entry {
    pub token: i32,
    pub position: i32,
    pub sequence: i32,
    pub want: u32,
}
extern "C" {
    pub fn bitnet_ctx_decode(
        ctx: *mut bitnet_ctx,
        entries: *const bitnet_batch_entry,
        count: u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_logits(
        ctx: *const bitnet_ctx,
        index: u64,
        logits: *mut *const f32,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_embedding(
        ctx: *const bitnet_ctx,
        index: u64,
        embedding: *mut *const f32,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_sequence_length(ctx: *const bitnet_ctx, sequence: i32) -> u64;
}
extern "C" {
    pub fn bitnet_ctx_sequence_match(ctx: *const bitnet_ctx, sequence: i32, tokens: *const i32, count: u64) -> u64;
}
extern "C" {
    pub fn bitnet_ctx_sequence_fork(ctx: *mut bitnet_ctx, from: i32, to: i32, why: *mut bitnet_error) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_sequence_truncate(
        ctx: *mut bitnet_ctx,
        sequence: i32,
        positions: u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_save(
        ctx: *const bitnet_ctx,
        sequence: i32,
        buffer: *mut ::std::os::raw::c_void,
        capacity: u64,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_load(
        ctx: *mut bitnet_ctx,
        sequence: i32,
        data: *const ::std::os::raw::c_void,
        bytes: u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_cancel(ctx: *const bitnet_ctx);
}
#[repr(C)]
pub struct bitnet_ctx_stats {
    pub size: u32,
    pub threads: i32,
    pub batches: u64,
    pub tokens: u64,
    pub single_tokens: u64,
    pub seconds: f64,
    pub single_seconds: f64,
    pub head_rows: u64,
    pub positions_used: u64,
    pub positions: u64,
    pub cache_bytes: u64,
    pub work_bytes: u64,
    pub weight_seconds: f64,
    pub attention_seconds: f64,
    pub screened_tokens: u64,
    pub screened_rows: u64,
    pub full_tokens: u64,
    pub screened_bound: f64,
}
extern "C" {
    pub fn bitnet_ctx_get_stats(
        ctx: *const bitnet_ctx,
        stats: *mut bitnet_ctx_stats,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_ctx_receipt(
        ctx: *const bitnet_ctx,
        json: *mut ::std::os::raw::c_char,
        capacity: u64,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_estimate {
    pub size: u32,
    pub reserved: u32,
    pub file_bytes: u64,
    pub weight_bytes: u64,
    pub cache_bytes: u64,
    pub work_bytes: u64,
    pub total_bytes: u64,
    pub device_bytes: u64,
}
extern "C" {
    pub fn bitnet_model_estimate(
        model: *const bitnet_model,
        options: *const bitnet_ctx_options,
        estimate: *mut bitnet_estimate,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_sampler {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct bitnet_logit_bias {
    pub token: i32,
    pub bias: f32,
}
#[repr(C)]
pub struct bitnet_sampler_options {
    pub size: u32,
    pub temperature: f32,
    pub top_k: i32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub penalty_window: i32,
    pub bias_count: u32,
    pub seed: u64,
    pub bias: *const bitnet_logit_bias,
}
extern "C" {
    pub fn bitnet_sampler_open(
        options: *const bitnet_sampler_options,
        sampler: *mut *mut bitnet_sampler,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_sampler_close(sampler: *mut bitnet_sampler);
}
extern "C" {
    pub fn bitnet_sample(
        sampler: *mut bitnet_sampler,
        logits: *const f32,
        count: u64,
        token: *mut i32,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_sampler_accept(sampler: *mut bitnet_sampler, token: i32, why: *mut bitnet_error) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_sampler_reset(sampler: *mut bitnet_sampler);
}
extern "C" {
    pub fn bitnet_ctx_sample(
        ctx: *mut bitnet_ctx,
        index: u64,
        count: u64,
        sampler: *mut bitnet_sampler,
        token: *mut i32,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_generator {
    _unused: [u8; 0],
}
#[repr(C)]
pub struct bitnet_generate_options {
    pub size: u32,
    pub sequence: i32,
    pub prompt: *const ::std::os::raw::c_char,
    pub messages: *const bitnet_message,
    pub tokens: *const i32,
    pub prompt_bytes: u64,
    pub message_count: u64,
    pub token_count: u64,
    pub template_name: *const ::std::os::raw::c_char,
    pub stop: *const *const ::std::os::raw::c_char,
    pub stop_count: u64,
    pub max_tokens: u64,
    pub sampling: *const bitnet_sampler_options,
    pub flags: u32,
    pub reserved: u32,
    pub drafts: i32,
    pub reserved2: i32,
}
pub const BITNET_GENERATE_IGNORE_END: u32 = 1;
pub const BITNET_GENERATE_SPECIAL: u32 = 2;
extern "C" {
    pub fn bitnet_generate_open(
        ctx: *mut bitnet_ctx,
        options: *const bitnet_generate_options,
        generator: *mut *mut bitnet_generator,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_generate_next(
        generator: *mut bitnet_generator,
        piece: *mut *const ::std::os::raw::c_char,
        bytes: *mut u64,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
impl bitnet_end_reason {
    pub const BITNET_END_NONE: bitnet_end_reason = bitnet_end_reason(0);
}
impl bitnet_end_reason {
    pub const BITNET_END_TOKEN: bitnet_end_reason = bitnet_end_reason(1);
}
impl bitnet_end_reason {
    pub const BITNET_END_STOP: bitnet_end_reason = bitnet_end_reason(2);
}
impl bitnet_end_reason {
    pub const BITNET_END_LIMIT: bitnet_end_reason = bitnet_end_reason(3);
}
impl bitnet_end_reason {
    pub const BITNET_END_CONTEXT: bitnet_end_reason = bitnet_end_reason(4);
}
impl bitnet_end_reason {
    pub const BITNET_END_INT32: bitnet_end_reason = bitnet_end_reason(2147483647);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct bitnet_end_reason(pub ::std::os::raw::c_uint);
#[repr(C)]
pub struct bitnet_generate_info {
    pub size: u32,
    pub end_reason: i32,
    pub tokens: *const i32,
    pub token_count: u64,
    pub prompt_tokens: u64,
    pub reused_tokens: u64,
    pub prompt_seconds: f64,
    pub decode_seconds: f64,
    pub drafted_tokens: u64,
    pub accepted_tokens: u64,
}
extern "C" {
    pub fn bitnet_generate_get_info(
        generator: *const bitnet_generator,
        info: *mut bitnet_generate_info,
        why: *mut bitnet_error,
    ) -> bitnet_status;
}
extern "C" {
    pub fn bitnet_generate_close(generator: *mut bitnet_generator);
}
extern "C" {
    pub fn bitnet_isa_count() -> i32;
}
extern "C" {
    pub fn bitnet_isa_name(index: i32) -> *const ::std::os::raw::c_char;
}
#[repr(C)]
pub struct bitnet_device_info {
    pub size: u32,
    pub usable: i32,
    pub name: [::std::os::raw::c_char; 32usize],
    pub title: [::std::os::raw::c_char; 128usize],
    pub memory_bytes: u64,
    pub memory_free: u64,
    pub processors: i32,
    pub reserved: i32,
    pub reason: [::std::os::raw::c_char; 504usize],
}
extern "C" {
    pub fn bitnet_device_count() -> i32;
}
extern "C" {
    pub fn bitnet_device_get_info(index: i32, info: *mut bitnet_device_info, why: *mut bitnet_error) -> bitnet_status;
}
#[repr(C)]
pub struct bitnet_machine_limits {
    pub size: u32,
    pub threads: i32,
    pub isa: *const ::std::os::raw::c_char,
    pub stream_gb_per_s: f64,
    pub int8_gmac_per_s: f64,
}
extern "C" {
    pub fn bitnet_machine_measure(limits: *mut bitnet_machine_limits, why: *mut bitnet_error) -> bitnet_status;
}
