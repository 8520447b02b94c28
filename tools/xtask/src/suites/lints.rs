//! Formatting, compiler and Clippy findings, documentation: each a case, none a matter of taste.

use crate::suite::{Closed, Ledger};
use crate::suites::tidy;
use crate::workspace::Workspace;

/// Runs the suite; `quick` leaves the documentation out.
pub fn run(workspace: &Workspace, quick: bool) -> Closed {
    let mut ledger = Ledger::open("lints", workspace.ci);
    tidy::cases(workspace, &mut ledger);
    ledger.case("cargo fmt", || {
        workspace.cargo(&["fmt", "--all", "--check"]).stream()
    });
    ledger.case("cargo clippy", || {
        let arguments = ["clippy", "--release", "--workspace", "--all-targets"];
        // With the one feature there is, which only adds code.
        workspace
            .cargo(&arguments)
            .args(["--features", "stele-daemon/evil-disk"])
            .args(["--", "-D", "warnings"])
            .stream()
    });
    if !quick {
        ledger.case("cargo doc", || {
            let arguments = ["doc", "--release", "--workspace", "--no-deps"];
            workspace
                .cargo(&arguments)
                .env("RUSTDOCFLAGS", "-D warnings")
                .stream()
        });
    }
    ledger.close()
}
