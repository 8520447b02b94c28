//! `stele force-open ...`: a vault that lost too many disks is looked at, and what two people sign to open it with the
//! disks that are left is drafted. `stele serve --force-open` brings what they signed.
//!
//! Nothing serves the vault meanwhile: its lock is held for as long as it is looked at.

use std::path::{Path, PathBuf};

use stele_device::linux::disk::{OpenMode, Wishes};
use stele_format::record::StatementBody;
use stele_format::sshsig::{STATEMENT_NAMESPACE, Signature};
use stele_format::statement::{RecordSpan, Statement};
use stele_format::units::DiskId;
use stele_store::recovery::{Force, ForcedOrder, ForcedRefusal, Outlook};
use stele_store::request::{Answer, Command, PeopleView};

use crate::advice::{Commands, word};
use crate::bays::Bays;
use crate::bell::Bell;
use crate::cli::force::{ForceApproveArgs, ForceRequestArgs, ForceVerb};
use crate::client::shown;
use crate::console::{beside, note_of, note_path, read, write_new};
use crate::control::protocol::DiskStatus;
use crate::desk::{NotStated, check_note, forced, note_words};
use crate::disk::print;
use crate::error::{Error, Outcome};
use crate::live::{Place, live_status};
use crate::opener::Opener;
use crate::serve::require_any;
use crate::signer;
use crate::supervisor::Machine;
use crate::vault::Directory;
use crate::vault::disks::open_kept;
use crate::vault::lock::Lock;

/// Why a vault is not forced open, or nothing is drafted for it.
#[derive(Debug, thiserror::Error)]
pub enum NotForced {
    /// The vault does not let it happen.
    #[error("the vault is not forced open: {0}")]
    Store(#[from] ForcedRefusal),
    /// Another statement.
    #[error("the text is no request to force a vault open")]
    NoRequest,
    /// Of another vault, or from before an earlier opening.
    #[error(
        "the request is for the log of another vault, or of this one before it was forced open; draft a new one"
    )]
    OtherVault,
    /// The signature is by somebody else.
    #[error("the request is not signed with a key of the officer whom it names")]
    Signer,
    /// There is no such person.
    #[error("{name} is no {role} of this vault who may act")]
    Nobody {
        /// Who was named.
        name: String,
        /// What they would have to be.
        role: &'static str,
    },
}

/// Does what a verb says.
///
/// # Errors
/// When the vault is served, cannot be read, or is not to be forced open.
pub fn run(verb: ForceVerb) -> Outcome<()> {
    match verb {
        ForceVerb::Look(args) => {
            let looked = Looked::at(&args.vault)?;
            let next = Commands::new(looked.directory.path()).ask_force();
            print(&looked.words());
            print(&format!(
                "next     if that is lost for good, an officer asks for it: {next}\n"
            ));
            Ok(())
        }
        ForceVerb::Request(args) => request(&args),
        ForceVerb::Approve(args) => approve(&args),
    }
}

fn request(args: &ForceRequestArgs) -> Outcome<()> {
    let by = signer::name()?;
    let looked = Looked::at(&args.vault)?;
    let drafted = forced::request(&looked.people, &looked.outlook, &by, &args.reason)?;
    print(&looked.words());
    write_new(&args.out, &drafted.text)?;
    if let Some(note) = &drafted.note {
        write_new(&note_path(&args.out), note)?;
    }
    sign(&args.out, &drafted.text)?;
    let next = Commands::new(looked.directory.path()).approve_force(&args.out);
    print(&format!(
        "next     an approver who saw the signed request agrees: {next}\n"
    ));
    Ok(())
}

fn approve(args: &ForceApproveArgs) -> Outcome<()> {
    let by = signer::name()?;
    let signed = signed(&args.request)?;
    let note = note_of(&args.request)?;
    let looked = Looked::at(&args.vault)?;
    let drafted = forced::approval(&looked.people, &looked.outlook, &signed, &by)?;
    let statement = Statement::parse(&signed.text).map_err(NotStated::Text)?;
    print(&looked.words());
    if let Some(words) = note_words(&statement, note.as_deref())? {
        print(&format!("why      {}\n", shown(&words)));
    }
    write_new(&args.out, &drafted.text)?;
    sign(&args.out, &drafted.text)?;
    let next = Commands::new(looked.directory.path()).force(&args.request, &args.out);
    print(&format!(
        "next     with its signature there, open the vault, for good: {next}\n"
    ));
    Ok(())
}

/// Signs a text at once where a key was named, or says how.
fn sign(path: &Path, text: &str) -> Outcome<()> {
    let file = word(path);
    if signer::has_key() {
        let signature = signature_path(path);
        write_new(&signature, &signer::sign(text)?)?;
        print(&format!(
            "the text is in {file}, and its signature beside it\n"
        ));
    } else {
        print(&format!(
            "the text to sign is in {file}; sign it with: ssh-keygen -Y sign -n {STATEMENT_NAMESPACE} -f KEY {file}\n"
        ));
    }
    Ok(())
}

/// As `ssh-keygen` names it.
fn signature_path(path: &Path) -> PathBuf {
    beside(path, ".sig")
}

/// A text with the signature beside it.
fn signed(path: &Path) -> Outcome<StatementBody> {
    let text = read(path)?;
    let signature = Signature::from_armour(&read(&signature_path(path))?);
    Ok(StatementBody {
        text,
        signatures: vec![signature.map_err(NotStated::Signature)?.encode()],
    })
}

/// A forced opening from its files: request and approval.
///
/// # Errors
/// They cannot be read, or are no statements.
pub fn ordered(files: Option<&[PathBuf]>) -> Outcome<Option<ForcedOrder>> {
    let Some([request, approval]) = files else {
        return Ok(None);
    };
    let note = note_of(request)?;
    let (request, approval) = (signed(request)?, signed(approval)?);
    let statement = Statement::parse(&request.text).map_err(NotStated::Text)?;
    check_note(&statement, note.as_deref())?;
    Ok(Some(ForcedOrder {
        request,
        note: note.map(String::into_bytes),
        approval,
    }))
}

/// What a look found.
struct Looked {
    directory: Directory,
    outlook: Outlook,
    disks: Vec<DiskStatus>,
    people: Box<PeopleView>,
}

impl Looked {
    /// Looks. The vault is closed again when this returns.
    fn at(vault: &Path) -> Outcome<Looked> {
        let directory = Directory::new(vault)?;
        directory.existing()?;
        let mut lock = Lock::take(&directory.lock_file())?;
        let config = directory.existing()?;
        let keys = directory.keys(config.key_source());
        let bell = Bell::default();
        let (mode, wishes) = (OpenMode::Write, Wishes::default());
        let slots = open_kept(&config, directory.path(), mode, &wishes, &bell.disk_waker())?;
        require_any(&slots)?;
        let bays = Bays::new(&slots);
        let place = Place::new(&directory, bays.clone(), keys.source.clone());
        lock.sign()?;
        let opener = Opener {
            keys,
            bays,
            client_buckets: config.client_buckets(),
            serials: config.serials(),
            index_cache_bytes: None,
        };
        let machine = Machine::start(slots, opener, Some(Force::Look), &bell)?;
        let looked = Looked::into(directory, &machine, &place);
        machine.stop()?;
        looked
    }

    fn into(directory: Directory, machine: &Machine, place: &Place) -> Outcome<Looked> {
        let outlook = machine.report().outlook.clone().ok_or(Error::NoAnswer)?;
        let outlook = outlook.map_err(NotForced::Store)?;
        let link = machine.link();
        let disks = live_status(&link.status_now()?, place).disks;
        let Answer::People(people) = link.ask(|| Command::People)? else {
            return Err(Error::NoAnswer);
        };
        Ok(Looked {
            directory,
            outlook,
            disks,
            people,
        })
    }

    /// What an opening would go on with, and what it would lose.
    fn words(&self) -> String {
        let (outlook, vault) = (&self.outlook, self.directory.path().display());
        let mut text = format!(
            "vault    {vault}\nopening  number {}\n",
            outlook.opening.get()
        );
        for disk in self.named(&outlook.disks) {
            text.push_str(&format!("here     {disk}\n"));
        }
        for disk in self.named(&outlook.left) {
            text.push_str(&format!("left     {disk}: never takes part again\n"));
        }
        text.push_str(&log_line(outlook));
        text.push_str(&lost_lines(outlook));
        text
    }

    /// Disks in words, by their numbers.
    fn named(&self, ids: &[DiskId]) -> Vec<String> {
        let words = |id: &DiskId| {
            let id = id.to_string();
            let known = self.disks.iter().find(|disk| disk.id.as_ref() == Some(&id));
            match known.and_then(|disk| Some((disk.number?, &disk.file))) {
                Some((number, file)) => (number, format!("disk {number}, {file}, id {id}")),
                None => (u16::MAX, format!("a disk with id {id}")),
            }
        };
        let mut named: Vec<(u16, String)> = ids.iter().map(words).collect();
        named.sort_unstable();
        named.into_iter().map(|(_, words)| words).collect()
    }
}

/// How much of the log there is.
fn log_line(outlook: &Outlook) -> String {
    let size = outlook.head.size;
    let missing: u64 = outlook.missing().iter().map(RecordSpan::count).sum();
    match missing {
        0 => format!("log      {size} records can be read\n"),
        missing => {
            let here = size.saturating_sub(missing);
            format!("log      {here} of {size} records can be read\n")
        }
    }
}

/// What is gone for good, and what may be.
fn lost_lines(outlook: &Outlook) -> String {
    let mut text = String::new();
    for span in outlook.missing() {
        let (first, last) = (span.first, span.last);
        let words = match span.count() {
            1 => format!("record {first}, in the middle of the log, is"),
            _ => format!("records {first} to {last}, in the middle of the log, are"),
        };
        text.push_str(&format!("lost     {words} on no disk that is here\n"));
    }
    if !outlook.lost.is_empty() {
        text.push_str(
            "kept     for good: all that was stored until now. A hold or a longer retention may be among what is lost, so \
             nothing destroys it\n",
        );
    }
    if outlook.skipped > 0 {
        let skipped = outlook.skipped;
        text.push_str(&format!(
            "lost     {skipped} things that other records say count for nothing either: they are about what is lost\n"
        ));
    }
    if outlook.known_lost > 0 {
        let first = outlook.head.size;
        let last = first.saturating_add(outlook.known_lost - 1);
        text.push_str(&format!(
            "lost     records {first} to {last} were durable and are on no disk that is here\n"
        ));
    }
    let (here, durable) = (outlook.last.get(), outlook.durable.get());
    if durable > here {
        let first = here + 1;
        text.push_str(&format!(
            "lost     journal frames {first} to {durable} were durable and are on no disk that is here\n"
        ));
    }
    if !outlook.left.is_empty() {
        text.push_str(
            "lost     perhaps: newer records (uploads, holds, vetoes, changes of people) and content that only disks left \
             behind hold; nothing here tells how much\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::digest::Digest;
    use stele_format::record::LostSpan;
    use stele_format::statement::Head;
    use stele_format::tree::TreeHash;
    use stele_format::units::{ByteOffset, LogIndex, Opening, SegmentId, Sequence};

    #[test]
    fn what_is_surely_lost_is_told_from_what_may_be() {
        let outlook = |known_lost, durable| Outlook {
            opening: Opening::new(1),
            head: Head {
                size: 20,
                root: TreeHash([0; 32]),
            },
            disks: Vec::new(),
            left: vec![DiskId::new([2; 16])],
            last: Sequence::new(9),
            durable: Sequence::new(durable),
            known_lost,
            lost: Vec::new(),
            skipped: 0,
        };
        let perhaps = "behind hold; nothing here tells how much\n";
        let text = lost_lines(&outlook(0, 9));
        assert!(
            text.starts_with("lost     perhaps: newer records"),
            "{text}"
        );
        assert!(
            text.ends_with(perhaps) && text.lines().count() == 1,
            "{text}"
        );
        let text = lost_lines(&outlook(3, 9));
        assert!(text.starts_with("lost     records 20 to 22 were"), "{text}");
        assert!(
            text.ends_with(perhaps) && text.lines().count() == 2,
            "{text}"
        );
        let text = lost_lines(&outlook(3, 11));
        assert!(text.contains("journal frames 10 to 11 were"), "{text}");
        let mut outlook = outlook(0, 9);
        outlook.lost.push(LostSpan {
            first: Sequence::new(4),
            next: Sequence::new(6),
            chain: Digest::ZERO,
            first_record: LogIndex::new(7),
            next_record: LogIndex::new(12),
            previous: Digest::ZERO,
            segment: SegmentId::new(1),
            offset: ByteOffset::new(8192),
        });
        // Every disk is here: nothing but that is lost.
        outlook.left.clear();
        assert_eq!(
            log_line(&outlook),
            "log      15 of 20 records can be read\n"
        );
        let text = lost_lines(&outlook);
        let mut lines = text.lines();
        let middle =
            "lost     records 7 to 11, in the middle of the log, are on no disk that is here";
        assert_eq!(lines.next(), Some(middle));
        let kept = lines.next().unwrap_or_default();
        assert!(kept.starts_with("kept     for good: all that"), "{text}");
        assert_eq!(lines.next(), None);
    }
}
