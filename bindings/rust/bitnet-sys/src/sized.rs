// Written by bindings/generate/rust.py from include/bitnet.h; do not edit.
use super::*;

macro_rules! sized {
    ($($name:ident)*) => {$(
        /// The header's `..._INIT`: `size` is set, everything else is zero.
        impl Default for $name {
            fn default() -> Self {
                // SAFETY: zero is a valid value of each field: numbers, pointers and optional functions.
                let mut initial: Self = unsafe { std::mem::zeroed() };
                initial.size = std::mem::size_of::<Self>() as u32;
                initial
            }
        }
    )*};
}

sized! {
    bitnet_error
    bitnet_model_options
    bitnet_source
    bitnet_model_info
    bitnet_tensor_info
    bitnet_ctx_options
    bitnet_ctx_stats
    bitnet_estimate
    bitnet_sampler_options
    bitnet_generate_options
    bitnet_generate_info
    bitnet_device_info
    bitnet_machine_limits
}
