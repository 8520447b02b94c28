//! People and approvals: the statements O1 to O8 about who may have what done, and how.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

#[path = "../../format/tests/shared/authenticator.rs"]
mod authenticator;
#[path = "approval/content.rs"]
mod content;
#[path = "approval/founding.rs"]
mod founding;
#[path = "approval/matrix.rs"]
mod matrix;
#[path = "approval/model.rs"]
mod model;
#[path = "approval/people.rs"]
mod people;
#[path = "approval/rules.rs"]
mod rules;
#[path = "approval/world.rs"]
mod world;
