//! Bugs planted on purpose: whoever trusts the simulation wants to see it find something.

use clap::ValueEnum;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Two disks acknowledge flushes and do nothing.
    LyingFlush,
    /// Plaintext that was verified and opened is changed before the engine gets it.
    WrongBytes,
    /// The oracle believes in a version that was never stored.
    PhantomVersion,
    /// The oracle forgets a release: what it then misses was rightly gone.
    ForgottenRelease,
    /// Bits flip on two disks at once although the oracle counts with one.
    RotTwice,
}
