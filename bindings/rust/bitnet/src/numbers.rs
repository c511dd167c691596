//! The C interface's enumerations and flags.

/// A C enumeration as a number with named values: a newer library may return numbers that have no name yet.
macro_rules! numbers {
    ($(#[$doc:meta])* pub struct $name:ident: $raw:ident {
        $($(#[$member_doc:meta])* $member:ident = $value:ident,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i32);

        impl $name {
            $($(#[$member_doc])* pub const $member: Self = Self(bitnet_sys::$raw::$value.0 as i32);)*

            /// What a number of the C interface means, known here or not.
            pub const fn from_number(number: i32) -> Self {
                Self(number)
            }

            /// The number of the C interface.
            pub const fn number(self) -> i32 {
                self.0
            }
        }

        /// The constant's name, or the number of one that has none here.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$member => f.write_str(stringify!($member)),)*
                    Self(number) => write!(f, concat!(stringify!($name), "({})"), number),
                }
            }
        }
    };
}
pub(crate) use numbers;

/// Bits to be combined by `|`; the default has none.
macro_rules! flags {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$member_doc:meta])* $member:ident = $value:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            $($(#[$member_doc])* pub const $member: Self = Self($value);)*

            /// The bits of the C interface.
            pub const fn bits(self) -> u32 {
                self.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}
pub(crate) use flags;

/// A count for C, which refuses what is too large: better that than another meaning.
pub(crate) fn c_int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
