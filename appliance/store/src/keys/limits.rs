//! Limits of keys, each with its unit in its name.

/// Bits of a key index that name a leaf; the four above them are zero.
pub const KEY_INDEX_BITS: u8 = 60;

/// Key state above which single leaves are not cut any more but wait for their month.
pub const KEY_STATE_SINGLE_CUT_BYTES_MAX: usize = 12 << 20;

/// Characters of a client secret.
pub const CLIENT_SECRET_CHARS: usize = 40;
