//! The library found at run time, and this machine.
use std::ffi::CStr;
use std::fmt;
use std::ptr;

use bitnet_sys as sys;

use crate::error::{call, Error, Result, Status};
use crate::handle::c_string;
use crate::numbers::c_int;

/// A version of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Breaking changes, from 1.0 on.
    pub major: u32,
    /// Additions.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
}

impl Version {
    /// The version of the library that this crate was made for. The crate's own has the same major and minor number.
    pub const CRATE: Self =
        Self { major: sys::BITNET_VERSION_MAJOR, minor: sys::BITNET_VERSION_MINOR, patch: sys::BITNET_VERSION_PATCH };

    fn from_number(number: u32) -> Self {
        Self { major: number >> 16, minor: number >> 8 & 0xff, patch: number & 0xff }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version of the library found at run time.
pub fn version() -> Version {
    // SAFETY: cannot fail.
    Version::from_number(unsafe { sys::bitnet_version() })
}

/// The same as the library writes it: `"0.3.0"`.
pub fn version_string() -> &'static str {
    // SAFETY: static and terminated.
    unsafe { CStr::from_ptr(sys::bitnet_version_string()) }.to_str().unwrap_or("")
}

/// The ABI version of the library found at run time: the number in its soname.
pub fn abi_version() -> u32 {
    // SAFETY: cannot fail.
    unsafe { sys::bitnet_abi_version() }
}

/// Whether the library found is one this crate can use; asked by everything that opens something.
pub(crate) fn check() -> Result<()> {
    agree(abi_version(), version())
}

fn agree(abi: u32, found: Version) -> Result<()> {
    let (wanted_abi, wanted) = (sys::BITNET_ABI_VERSION, Version::CRATE);
    if abi == wanted_abi && found >= wanted {
        return Ok(());
    }
    Err(Error::new(
        Status::UNSUPPORTED,
        format!(
            "found libbitnet {found} of ABI version {abi}, this program was built for {wanted} or newer of ABI version \
             {wanted_abi}: install that library, or build the program with the bitnet crate {}.{}",
            found.major, found.minor
        ),
    ))
}

/// The instruction sets this processor runs, for [`ModelOptions::isa`](crate::ModelOptions::isa): the plainest first.
pub fn isa_names() -> impl Iterator<Item = &'static str> {
    // SAFETY: both take any number; names are static and terminated.
    let count = unsafe { sys::bitnet_isa_count() };
    (0..count).map(|index| unsafe { crate::handle::text(sys::bitnet_isa_name(index)) })
}

/// A device that models can be opened on, or the reason why it cannot be used: [`devices`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// For [`ModelOptions::device`](crate::ModelOptions::device): `"cpu"`, `"cuda:0"`.
    pub name: String,
    /// What its maker calls it; of the CPU: the best instruction set.
    pub title: String,
    /// Why it cannot be used, a sentence; `None`: it can.
    pub reason: Option<String>,
    /// The memory it has; 0: not known, as for the two below.
    pub memory_bytes: u64,
    /// What of it was free when asked.
    pub memory_free: u64,
    /// Multiprocessors; of the CPU: cores that this process may run on.
    pub processors: u32,
}

/// The CPU, which is the first, and the CUDA devices. If none of these can be used, one called `"cuda"` says why. The
/// driver is asked anew, which the first time may take a second.
///
/// # Errors
/// When there is no memory.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    check()?;
    // SAFETY: takes nothing.
    let count = unsafe { sys::bitnet_device_count() };
    (0..count)
        .map(|index| {
            let mut info = sys::bitnet_device_info::default();
            // SAFETY: info is initialized; its texts are terminated.
            call(|why| unsafe { sys::bitnet_device_get_info(index, &mut info, why) })?;
            let text = |chars: &[_]| unsafe { crate::handle::text(chars.as_ptr()) }.to_owned();
            Ok(DeviceInfo {
                name: text(&info.name),
                title: text(&info.title),
                reason: Some(text(&info.reason)).filter(|_| info.usable == 0),
                memory_bytes: info.memory_bytes,
                memory_free: info.memory_free,
                processors: info.processors as u32,
            })
        })
        .collect()
}

/// What this machine can do at best, measured by [`measure_machine`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MachineLimits {
    /// Reading memory, in 10^9 bytes per second.
    pub stream_gb_per_s: f64,
    /// int8 multiply-adds from registers, in 10^9 per second.
    pub int8_gmac_per_s: f64,
}

/// Measures this machine, for a speed to be held against. Takes a few seconds and 512 MB. Experimental: may change
/// until 1.0.
///
/// `threads`: how many to measure with; 0: one for each core. `isa`: a name of [`isa_names`]; `None`: the best.
///
/// # Errors
/// [`Status::UNSUPPORTED`]: no such instruction set here.
pub fn measure_machine(threads: u32, isa: Option<&str>) -> Result<MachineLimits> {
    check()?;
    let isa = isa.map(|name| c_string("isa", name)).transpose()?;
    let mut limits = sys::bitnet_machine_limits {
        threads: c_int(threads),
        isa: isa.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
        ..Default::default()
    };
    // SAFETY: limits is initialized, isa terminated.
    call(|why| unsafe { sys::bitnet_machine_measure(&mut limits, why) })?;
    Ok(MachineLimits { stream_gb_per_s: limits.stream_gb_per_s, int8_gmac_per_s: limits.int8_gmac_per_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_another_abi_or_an_older_version_are_refused() {
        let Version { major, minor, patch } = Version::CRATE;
        let newer = Version { major, minor: minor + 1, patch: 0 };
        let older = Version::from_number((major << 16 | minor << 8 | patch) - 1);
        agree(sys::BITNET_ABI_VERSION, Version::CRATE).unwrap();
        agree(sys::BITNET_ABI_VERSION, newer).unwrap();
        for (abi, version) in [(sys::BITNET_ABI_VERSION, older), (sys::BITNET_ABI_VERSION + 1, newer)] {
            let error = agree(abi, version).unwrap_err();
            assert_eq!(error.status(), Status::UNSUPPORTED);
            for side in [format!("{version} of ABI version {abi}"), Version::CRATE.to_string()] {
                assert!(error.message().contains(&side), "'{error}' lacks '{side}'");
            }
        }
        check().unwrap();
    }
}
