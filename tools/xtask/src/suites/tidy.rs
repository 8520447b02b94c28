//! House rules that no compiler checks, each one a case.
//!
//! A finding names file and line. The walls between crates are rules too: which crate may name
//! which other one is a table here, and a new edge has to change it on purpose.

use super::source::{code_only, has_word};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::suite::Ledger;
use crate::workspace::Workspace;
use std::path::Path;

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 700;
/// The files that may hold `unsafe`.
const UNSAFE_FILES: [&str; 3] = [
    "appliance/device/src/linux/buffer.rs",
    "appliance/device/src/linux/ring.rs",
    "appliance/device/src/linux/ring/patient.rs",
];
/// Directories at the root that hold nothing of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "vault"];
/// Documents every checkout has.
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "appliance/format/FORMAT.md",
];
/// Texts that only one machine understands.
const MACHINE_PATHS: [&str; 4] = ["/root/", "/home/", "/work/", "/Users/"];
/// Which of our crates each crate may depend on.
const EDGES: [(&str, &[&str]); 10] = [
    ("appliance/format", &[]),
    ("appliance/device", &[]),
    ("appliance/store", &["stele-format", "stele-device"]),
    ("appliance/gateway", &["stele-format", "stele-device"]),
    (
        "appliance/daemon",
        &[
            "stele-format",
            "stele-device",
            "stele-store",
            "stele-gateway",
        ],
    ),
    ("tools/evil", &["stele-device"]),
    ("tools/inspect", &["stele-format"]),
    (
        "tools/sim",
        &[
            "stele-format",
            "stele-device",
            "stele-store",
            "stele-inspect",
        ],
    ),
    ("tools/witness", &["stele-format"]),
    ("tools/xtask", &["stele-format"]),
];

/// Crates that know the planted bugs.
const PLANTERS: [&str; 2] = ["appliance/store", "tools/sim"];

/// A text file of the checkout.
struct Source {
    /// Path from the root, with `/`.
    name: String,
    text: String,
    code: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.name.ends_with(".rs")
    }

    fn is_test_file(&self) -> bool {
        self.name.contains("/tests/") || self.name.ends_with("/tests.rs")
    }
}

/// The page that says what shows each claim.
const ASSURANCE: &str = "docs/assurance.md";
/// What it must have an entry for: letters, and how many of each.
const STATEMENTS: [(&str, u32); 6] = [
    ("W", 38),
    ("H", 10),
    ("K", 14),
    ("O", 11),
    ("C", 8),
    ("A", 34),
];

type Rule = fn(&[Source]) -> Vec<String>;

const RULES: [(&str, Rule); 8] = [
    ("tidy: file length", file_length),
    ("tidy: unsafe", unsafe_code),
    ("tidy: wildcard imports", wildcard_imports),
    ("tidy: lint exceptions", lint_exceptions),
    ("tidy: unfinished code", unfinished),
    ("tidy: machine paths", machine_paths),
    ("tidy: head comments", head_comments),
    ("tidy: assurance", assurance),
];

/// Runs every rule.
pub fn cases(workspace: &Workspace, ledger: &mut Ledger) {
    let mut sources = Vec::new();
    if !ledger.case("tidy: read the checkout", || {
        read(&workspace.root, &workspace.root, &mut sources)
    }) {
        return;
    }
    for (name, rule) in RULES {
        ledger.case(name, || {
            let findings = rule(&sources);
            ensure(findings.is_empty(), || {
                format!("\n          {}", findings.join("\n          "))
            })
        });
    }
    ledger.case("tidy: documents", || documents(&workspace.root));
    ledger.case("tidy: nothing of ours is ignored", || {
        ignored(&workspace.root)
    });
    ledger.case("tidy: walls between crates", || edges(&workspace.root));
    ledger.case("tidy: no planted bugs in what is served", || {
        planted(&workspace.root)
    });
}

fn read(root: &Path, directory: &Path, out: &mut Vec<Source>) -> Outcome {
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let base = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if directory != root || !SKIPPED.contains(&base.as_str()) {
                read(root, &path, out)?;
            }
            continue;
        }
        let known = [".rs", ".md", ".toml", ".yml", ".json"]
            .iter()
            .any(|end| base.ends_with(end));
        if !known && base != "run" {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).map_err(|e| Failure::path("cannot read", &path, &e))?;
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .replace('\\', "/");
        let code = if name.ends_with(".rs") {
            code_only(&text)
        } else {
            String::new()
        };
        out.push(Source { name, text, code });
    }
    Ok(())
}

/// Findings of a check on every line of the code of every Rust file.
fn in_code(sources: &[Source], found: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (index, line) in source.code.lines().enumerate() {
            if found(source, line) {
                findings.push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    findings
}

fn file_length(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let long = sources
        .iter()
        .filter(|s| s.is_rust() && lines(s) > FILE_LINES_MAX);
    long.map(|s| format!("{}: {} lines, at most {FILE_LINES_MAX}", s.name, lines(s)))
        .collect()
}

fn unsafe_code(sources: &[Source]) -> Vec<String> {
    in_code(sources, |source, line| {
        has_word(line, "unsafe") && !UNSAFE_FILES.contains(&source.name.as_str())
    })
}

fn wildcard_imports(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| s.is_rust() && !s.is_test_file()) {
        let code = source.code.split("#[cfg(test)]").next().unwrap_or_default();
        let mut import = false;
        for (index, line) in code.lines().enumerate() {
            let start = line.trim_start();
            import |=
                start.starts_with("use ") || (start.starts_with("pub") && has_word(start, "use"));
            if import && line.contains("::*") {
                findings.push(format!("{}:{}", source.name, index + 1));
            }
            import &= !line.contains(';');
        }
    }
    findings
}

/// An exception from a lint must say why.
fn lint_exceptions(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for attribute in ["allow(", "expect("] {
            for (at, _) in source.code.match_indices(attribute) {
                let opened = source.code[..at].trim_end();
                if !(opened.ends_with("#[") || opened.ends_with("#![")) {
                    continue;
                }
                let whole = source.code[at..].split(']').next().unwrap_or_default();
                if !has_word(whole, "reason") {
                    let line = source.code[..at].matches('\n').count() + 1;
                    findings.push(format!("{}:{line}", source.name));
                }
            }
        }
    }
    findings
}

fn unfinished(sources: &[Source]) -> Vec<String> {
    let mark = concat!("FIX", "ME");
    let mut findings = in_code(sources, |_, line| {
        ["todo", "unimplemented"]
            .iter()
            .any(|name| has_word(line, name) && line.contains(&format!("{name}!")))
    });
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            if has_word(line, mark) {
                findings.push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    findings
}

fn machine_paths(sources: &[Source]) -> Vec<String> {
    let own = "tools/xtask/src/suites/tidy.rs";
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.name != own) {
        for (index, line) in source.text.lines().enumerate() {
            let starts = |path: &&str| {
                line.match_indices(*path).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "-_./}".contains(c))
                })
            };
            if MACHINE_PATHS.iter().any(starts) {
                findings.push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    findings
}

/// Every source file that is no test says first what lives in it.
fn head_comments(sources: &[Source]) -> Vec<String> {
    let ours = sources
        .iter()
        .filter(|source| source.is_rust() && !source.is_test_file());
    let headless = ours.filter(|source| !source.text.starts_with("//!"));
    headless
        .map(|source| format!("{}: does not start with `//!`", source.name))
        .collect()
}

/// Every statement has one entry on the page of claims that shows something or says what is missing, and
/// every test it names is there.
fn assurance(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.name == ASSURANCE) else {
        return vec![format!("{ASSURANCE}: missing")];
    };
    let mut findings = Vec::new();
    let entries: Vec<&str> = page.text.split("\n- **").skip(1).collect();
    for (letter, count) in STATEMENTS {
        for number in 1..=count {
            let start = format!("{letter}{number}**");
            let of: Vec<&&str> = entries.iter().filter(|e| e.starts_with(&start)).collect();
            let shows = |entry: &str| {
                ["`", "*by hand*", "*not yet*"]
                    .iter()
                    .any(|word| entry.contains(word))
            };
            if of.len() != 1 || !shows(of[0]) {
                findings.push(format!(
                    "{ASSURANCE}: {letter}{number} is not said once with what shows it"
                ));
            }
        }
    }
    for named in page.text.split('`').skip(1).step_by(2) {
        let Some((file, test)) = named.split_once(".rs::") else {
            continue;
        };
        let files = [format!("{file}.rs"), format!("appliance/{file}.rs")];
        let declared = format!("fn {test}(");
        let there =
            |source: &Source| files.contains(&source.name) && source.code.contains(&declared);
        if !sources.iter().any(there) {
            findings.push(format!("{ASSURANCE}: there is no `{named}`"));
        }
    }
    findings
}

fn documents(root: &Path) -> Outcome {
    let missing: Vec<&str> = DOCUMENTS
        .into_iter()
        .filter(|name| !root.join(name).is_file())
        .collect();
    ensure(missing.is_empty(), || {
        format!("missing: {}", missing.join(", "))
    })
}

/// A source file that git ignores is missing in every other checkout.
fn ignored(root: &Path) -> Outcome {
    if !root.join(".git").exists() {
        return Ok(());
    }
    let list = [
        "ls-files",
        "--others",
        "--ignored",
        "--exclude-standard",
        "--",
        "*.rs",
        "*.toml",
    ];
    let found = Run::new("git").directory(root).args(list).succeed()?;
    let ours = |line: &&str| {
        !SKIPPED
            .iter()
            .any(|name| line.starts_with(&format!("{name}/")))
    };
    let found: Vec<&str> = found.lines().filter(ours).collect();
    ensure(found.is_empty(), || {
        format!("ignored by git: {}", found.join(", "))
    })
}

fn edges(root: &Path) -> Outcome {
    for (crate_path, allowed) in EDGES {
        let manifest = root.join(crate_path).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|e| Failure::path("cannot read", &manifest, &e))?;
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let ours = name.starts_with("stele-") && section.ends_with("dependencies]");
            ensure(!ours || allowed.contains(&name), || {
                format!("{crate_path} must not depend on {name}")
            })?;
        }
    }
    Ok(())
}

/// The feature with the engine's planted bugs is named by the store, which has it, and by the simulator alone.
fn planted(root: &Path) -> Outcome {
    let manifests = EDGES.iter().map(|(crate_path, _)| *crate_path).chain(["."]);
    for crate_path in manifests.filter(|path| !PLANTERS.contains(path)) {
        let manifest = root.join(crate_path).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|e| Failure::path("cannot read", &manifest, &e))?;
        ensure(!has_word(&text, "plants"), || {
            format!("{crate_path}/Cargo.toml must not name the feature `plants`")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
            code: code_only(text),
        }
    }

    fn check(rule: Rule, text: &str, findings: usize) {
        let found = rule(&[source("appliance/x/src/a.rs", text)]);
        assert_eq!(found.len(), findings, "{text}: {found:?}");
    }

    #[test]
    fn each_rule_sees_what_it_forbids_and_nothing_else() {
        check(file_length, &"\n".repeat(FILE_LINES_MAX), 0);
        check(file_length, &"\n".repeat(FILE_LINES_MAX + 1), 1);
        check(unsafe_code, "unsafe fn f() {}", 1);
        check(unsafe_code, "// an unsafe thing", 0);
        check(wildcard_imports, "use a::*;", 1);
        check(wildcard_imports, "pub(crate) use a::{\n b::*,\n};", 1);
        check(
            wildcard_imports,
            "#[cfg(test)]\nmod tests { use super::*; }",
            0,
        );
        check(lint_exceptions, "#[allow(dead_code)]", 1);
        check(lint_exceptions, "#[expect(dead_code)]", 1);
        check(lint_exceptions, "#![allow(dead_code, reason = \"why\")]", 0);
        check(
            lint_exceptions,
            "#[expect(\n  dead_code,\n  reason = \"why\"\n)]",
            0,
        );
        check(lint_exceptions, "a.expect(\"why\")", 0);
        check(unfinished, concat!("fn f() { to", "do!() }"), 1);
        check(unfinished, concat!("// FIX", "ME later"), 1);
        check(unfinished, "// a todo list", 0);
        check(machine_paths, "let p = \"/root/x\";", 1);
        check(machine_paths, "GET /bucket/home/x and a/root/b", 0);
        check(head_comments, "//! What lives here.\nfn f() {}", 0);
        check(head_comments, "fn f() {}", 1);
    }

    #[test]
    fn claims_name_what_shows_them_and_tests_that_are_there() {
        let every = || {
            let letters = STATEMENTS.iter();
            letters.flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")))
        };
        let found = |page: String| {
            let test = "//! x\n#[test]\nfn shows_it() {}\n// fn in_a_comment() {}";
            assurance(&[
                source(ASSURANCE, &page),
                source("appliance/x/tests/a.rs", test),
            ])
            .len()
        };
        let page = |shown: &str| -> String {
            let entry = |id: String| format!("\n- **{id}** Something.\n  {shown}\n");
            every().map(entry).collect()
        };
        let all = every().count();
        assert_eq!(all, 115);
        assert_eq!(found(page("`x/tests/a.rs::shows_it`")), 0);
        assert_eq!(found(page("`appliance/x/tests/a.rs::shows_it`")), 0);
        assert_eq!(found(page("*not yet*: nothing.")), 0);
        assert_eq!(found(page("")), all);
        assert_eq!(found(page("`x/tests/a.rs::shows_nothing`")), all);
        assert_eq!(found(page("`x/tests/a.rs::in_a_comment`")), all);
        assert_eq!(found(page("`x/tests/b.rs::shows_it`")), all);
        let twice = page("*not yet*: it.") + "\n- **W1** Again.\n  *not yet*: it.";
        assert_eq!(found(twice), 1);
        assert_eq!(found(String::new()), all);
        assert_eq!(assurance(&[]).len(), 1);
    }

    #[test]
    fn unsafe_is_allowed_where_it_is_fenced() {
        assert!(unsafe_code(&[source(UNSAFE_FILES[0], "unsafe fn f() {}")]).is_empty());
    }
}
