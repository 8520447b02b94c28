//! Copies of the key state on the disks.
