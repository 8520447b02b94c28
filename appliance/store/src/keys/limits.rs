//! Limits of keys, each with its unit in its name.

/// Bits of a key index that name a leaf; the four above them are zero.
pub const KEY_INDEX_BITS: u8 = 60;

/// Largest number a key index counts to within one epoch, month and class.
pub const KEY_COUNTER_MAX: u32 = (1 << 24) - 1;

/// Largest epoch a key index can hold.
pub const KEY_EPOCH_MAX: u32 = (1 << 20) - 1;

/// Largest month a key index can hold, counted from January 2020.
pub const KEY_MONTH_MAX: u16 = (1 << 12) - 1;

/// Largest class a key index can hold.
pub const KEY_CLASS_MAX: u8 = (1 << 4) - 1;

/// Key state above which single leaves are not cut any more but wait for their month.
pub const KEY_STATE_SINGLE_CUT_BYTES_MAX: usize = 12 << 20;

/// Characters of a client secret.
pub const CLIENT_SECRET_CHARS: usize = 40;
