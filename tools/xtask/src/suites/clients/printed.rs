//! The lines a start prints for pasting, pasted.

use super::{Bench, Case};
use crate::command::Run;
use crate::failure::{Outcome, ensure};

/// The checks in order.
pub const CASES: [Case; 2] = [
    (
        "printed: the start says what the vault is and what it is not",
        honest,
    ),
    (
        "printed: the lines for aws, restic and rclone work as printed",
        pasted,
    ),
];

/// The indented lines from the one that sources `client.env` on.
fn lines(output: &str) -> Vec<&str> {
    output
        .lines()
        .skip_while(|line| !(line.starts_with("  ") && line.contains("client.env")))
        .filter_map(|line| line.strip_prefix("  "))
        .collect()
}

fn honest(bench: &Bench) -> Outcome {
    let output = bench.server.output()?;
    let secret = bench.variable("AWS_SECRET_ACCESS_KEY")?;
    ensure(!output.contains(secret), || {
        "the start prints the secret key".to_owned()
    })?;
    for word in [
        "evaluation",
        "before people are founded",
        "restic",
        "rclone purge",
        "aws s3 rb",
    ] {
        ensure(output.contains(word), || {
            format!("the start does not speak of '{word}'")
        })?;
    }
    Ok(())
}

fn pasted(bench: &Bench) -> Outcome {
    let output = bench.server.output()?;
    let lines = lines(&output);
    for client in ["aws ", "restic ", "rclone "] {
        let shown = lines.iter().any(|line| line.contains(client));
        ensure(shown, || format!("no line for {client}in\n{output}"))?;
    }
    let home = bench.scratch.join("pasting-home");
    std::fs::create_dir_all(&home)?;
    let environment = [
        ("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("HOME".to_owned(), home.into_os_string()),
    ];
    Run::new("/bin/sh")
        .only_env(&environment)
        .directory(bench.scratch.path())
        .secrets(&bench.server.secrets())
        .args(["-e", "-c", &lines.join("\n")])
        .succeed()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_indented_lines_behind_the_sourcing_one_are_pasted() {
        let output = "Stele\n  address x\nTo try it:\n\n  set -a; . v/client.env; set +a\n\n  aws s3\nStop.\n";
        assert_eq!(lines(output), ["set -a; . v/client.env; set +a", "aws s3"]);
    }
}
