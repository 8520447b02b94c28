//! From a signed list to keys that are gone: over the real engine, disks and recovery.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../../format/tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "each test binary uses its own part of the keys")]
mod authenticator;
#[path = "destruction/clocks.rs"]
mod clocks;
#[path = "destruction/crash.rs"]
mod crash;
#[path = "destruction/effects.rs"]
mod effects;
#[path = "destruction/erase.rs"]
mod erase;
#[path = "destruction/forced.rs"]
mod forced;
#[path = "destruction/forced_cuts.rs"]
mod forced_cuts;
#[path = "destruction/forced_doubt.rs"]
mod forced_doubt;
#[path = "destruction/forced_holes.rs"]
mod forced_holes;
#[path = "destruction/forcing.rs"]
mod forcing;
#[path = "destruction/holds.rs"]
mod holds;
#[path = "destruction/journal_away.rs"]
mod journal_away;
#[path = "destruction/lists.rs"]
mod lists;
#[path = "destruction/logkey.rs"]
mod logkey;
#[path = "destruction/people.rs"]
mod people;
#[path = "destruction/rebuilt.rs"]
mod rebuilt;
#[path = "destruction/releases.rs"]
mod releases;
#[path = "destruction/space.rs"]
mod space;
mod support;
#[path = "destruction/witnesses.rs"]
mod witnesses;
#[path = "destruction/world.rs"]
mod world;
#[path = "destruction/worm.rs"]
mod worm;
