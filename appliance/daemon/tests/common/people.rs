//! People of a vault with keys that real `ssh-keygen` made, and the verbs they run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Place, refuse, run, succeed, text};

/// Everybody, with their roles.
pub const PEOPLE: [(&str, &str); 6] = [
    ("olga", "operator"),
    ("anna", "approver"),
    ("axel", "approver"),
    ("odin", "officer"),
    ("oona", "officer"),
    ("vera", "auditor"),
];

/// Keys of people beside a vault.
pub struct People<'a> {
    place: &'a Place,
}

impl<'a> People<'a> {
    /// Makes a key for everybody.
    pub fn with_keys(place: &'a Place) -> People<'a> {
        let people = People { place };
        for (name, _) in PEOPLE {
            people.make_key(name);
        }
        people
    }

    /// People whose keys were made before.
    pub fn with_keys_of(place: &'a Place) -> People<'a> {
        People { place }
    }

    /// Makes a key.
    pub fn make_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.key(name))
            .stdin(Stdio::null())
            .status()
            .expect("ssh-keygen");
        assert!(made.success());
    }

    /// Somebody's private key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.place.beside(&format!("key-{name}"))
    }

    /// Somebody's public key.
    pub fn public(&self, name: &str) -> PathBuf {
        self.place.beside(&format!("key-{name}.pub"))
    }

    /// Signs a file as anybody would, and gives the signature's file.
    pub fn sign(&self, name: &str, file: &std::path::Path) -> PathBuf {
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", "stele-statement-v1", "-f"])
            .arg(self.key(name))
            .stdin(std::fs::File::open(file).expect("opened"))
            .output()
            .expect("ssh-keygen");
        assert!(signed.status.success(), "{signed:?}");
        let path = self.place.beside(&format!("signature-{name}"));
        std::fs::write(&path, signed.stdout).expect("written");
        path
    }

    /// Founds the vault with everybody.
    pub fn found(&self) {
        let draft = self.place.beside("founding");
        drop(std::fs::remove_file(&draft));
        let vault = text(&self.place.vault);
        let mut args: Vec<String> = ["people", "found", "--vault", vault, "--plain-keys", "--out"]
            .map(str::to_owned)
            .to_vec();
        args.push(text(&draft).to_owned());
        for (name, role) in PEOPLE {
            args.push("--person".to_owned());
            args.push(format!("{name}:{role}:{}", text(&self.public(name))));
        }
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        succeed(&words);
        let mut args = vec![
            "people",
            "found",
            "--vault",
            vault,
            "--submit",
            text(&draft),
        ];
        let signatures: Vec<PathBuf> = PEOPLE.map(|(name, _)| self.sign(name, &draft)).to_vec();
        for signature in &signatures {
            args.extend(["--signature", text(signature)]);
        }
        assert!(succeed(&args).contains("the vault has people"));
    }

    fn args(&self, name: &str, words: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        args.extend(["--vault".to_owned(), text(&self.place.vault).to_owned()]);
        args.extend(["--as".to_owned(), name.to_owned()]);
        args.extend(["--key".to_owned(), text(&self.key(name)).to_owned()]);
        args
    }

    /// Runs a verb as somebody, which must succeed.
    pub fn does(&self, name: &str, words: &[&str]) -> String {
        let args = self.args(name, words);
        succeed(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a verb as somebody, which must be refused.
    pub fn refused(&self, name: &str, words: &[&str]) -> String {
        let args = self.args(name, words);
        refuse(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a verb as somebody, whatever comes of it.
    pub fn tries(&self, name: &str, words: &[&str]) {
        let args = self.args(name, words);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// All requests.
    pub fn requests(&self) -> Vec<serde_json::Value> {
        let vault = text(&self.place.vault);
        let json = succeed(&["approve", "list", "--vault", vault, "--json"]);
        serde_json::from_str(&json).expect("a list")
    }

    /// The number of the newest request.
    pub fn newest(&self) -> String {
        let requests = self.requests();
        let newest = requests.last().expect("one");
        newest["request"].as_u64().expect("a number").to_string()
    }

    /// Where a request stands.
    pub fn state(&self, number: &str) -> String {
        let requests = self.requests();
        let mut requests = requests.iter();
        let found = requests.find(|one| one["request"].as_u64() == number.parse().ok());
        found.expect("there")["state"]
            .as_str()
            .expect("a word")
            .to_owned()
    }

    /// Sets the clock forward.
    pub fn advance(&self, by: &str) {
        self.does("odin", &["clock", "advance", by]);
    }
}
