//! The thread that does what lifecycle rules say: the engine says which uploads and versions are old enough, by the
//! rules of their buckets and its own clock. Uploads which nobody finishes are given up like by a client; what is
//! done to [`versions`] it judges once more.

mod versions;

use std::cell::Cell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use stele_store::request::{Answer, Command, Refusal};

use crate::error::{Error, Outcome};
use crate::lifecycle::versions::{Gone, Versions};
use crate::limits::{LIFECYCLE_FIRST_MS, LIFECYCLE_MS};
use crate::supervisor::Link;
use crate::watch::Watch;

/// The thread; stopped with [`Collector::stop`].
pub struct Collector {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Collector {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(link: Link, watch: &Watch) -> Outcome<Collector> {
        let (stop, stopped) = sync_channel(1);
        let guard = watch.guard("lifecycle");
        let run = move || {
            let _guard = guard;
            run(&link, &stopped);
        };
        let thread = std::thread::Builder::new().name("lifecycle".to_owned());
        let thread = thread.spawn(run).map_err(Error::Thread)?;
        Ok(Collector { stop, thread })
    }

    /// Ends the thread after the question under way.
    pub fn stop(self) {
        // A full or closed queue means that it ends already; a panic is noticed by its guard.
        self.stop.try_send(()).ok();
        drop(self.thread.join());
    }
}

fn run(link: &Link, stopped: &Receiver<()>) {
    let (stop, mut versions) = (Cell::new(false), Versions::default());
    let over = || {
        // What was taken from the channel once is not there again.
        if !stop.get() {
            stop.set(!matches!(stopped.try_recv(), Err(TryRecvError::Empty)));
        }
        stop.get()
    };
    let mut pause_ms = LIFECYCLE_FIRST_MS;
    while stopped.recv_timeout(Duration::from_millis(pause_ms)) == Err(RecvTimeoutError::Timeout) {
        pause_ms = LIFECYCLE_MS;
        match collect(|command| link.ask(command), over) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "unfinished uploads were given up"),
            Err(Error::NoAnswer) => return,
            // Read-only or stopping: the next look may find it otherwise.
            Err(error) => tracing::info!(%error, "unfinished uploads wait"),
        }
        let ask = &mut |command: &mut dyn FnMut() -> Command| link.ask(command);
        match versions.expire(ask, &over) {
            Ok(gone) => tell(&gone),
            Err(Error::NoAnswer) => return,
            Err(error) => tracing::info!(%error, "versions that go by lifecycle rules wait"),
        }
        if over() {
            return;
        }
    }
}

fn tell(gone: &Gone) {
    let (count, locked) = (gone.count, gone.locked);
    if count != 0 || locked != 0 {
        tracing::info!(
            count,
            locked,
            "versions went by lifecycle rules; those that are locked stay until they are not"
        );
    }
    if let Some(error) = &gone.waits {
        tracing::info!(%error, "some versions that go by lifecycle rules wait");
    }
}

/// Gives up all that are old enough; says how many.
fn collect(
    mut ask: impl FnMut(&mut dyn FnMut() -> Command) -> Outcome<Answer>,
    over: impl Fn() -> bool,
) -> Outcome<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let answer = ask(&mut || Command::ListOldUploads { after })?;
        let Answer::OldUploads { uploads, next } = answer else {
            return Err(Error::NoAnswer);
        };
        for (name, upload) in uploads {
            if over() {
                return Ok(count);
            }
            let name = || name.clone();
            match ask(&mut || Command::AbortUpload {
                name: name(),
                upload,
            }) {
                Ok(_) => count += 1,
                // Its client was faster.
                Err(Error::Refused(Refusal::NoSuchUpload | Refusal::NoSuchBucket)) => {}
                Err(error) => return Err(error),
            }
        }
        after = next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::UploadId;
    use stele_store::request::ObjectName;

    use super::*;

    fn old(numbers: &[u8]) -> Vec<(ObjectName, UploadId)> {
        let one = |number: &u8| {
            let (bucket, key) = ("b".to_owned(), vec![*number]);
            (
                ObjectName { bucket, key },
                UploadId::from_bytes([*number; 16]),
            )
        };
        numbers.iter().map(one).collect()
    }

    #[test]
    fn every_page_is_asked_for_and_an_upload_finished_meanwhile_is_passed_over() {
        let mut given_up = Vec::new();
        let count = collect(
            |command| match command() {
                Command::ListOldUploads { after: None } => Ok(Answer::OldUploads {
                    uploads: old(&[1, 2]),
                    next: Some(UploadId::from_bytes([2; 16])),
                }),
                Command::ListOldUploads { after } => {
                    assert_eq!(after, Some(UploadId::from_bytes([2; 16])));
                    let (uploads, next) = (old(&[3]), None);
                    Ok(Answer::OldUploads { uploads, next })
                }
                Command::AbortUpload { name, .. } if name.key == [2] => {
                    Err(Error::Refused(Refusal::NoSuchUpload))
                }
                Command::AbortUpload { name, upload } => {
                    given_up.push((name, upload));
                    Ok(Answer::Done)
                }
                other => panic!("unexpected {other:?}"),
            },
            || false,
        );
        assert_eq!(count.expect("all pages"), 2);
        assert_eq!(given_up, old(&[1, 3]));
    }

    #[test]
    fn a_vault_that_cannot_write_is_asked_no_further() {
        let mut asked = 0;
        let result = collect(
            |command| match command() {
                Command::ListOldUploads { .. } => {
                    let (uploads, next) = (old(&[1, 2, 3]), None);
                    Ok(Answer::OldUploads { uploads, next })
                }
                _ => {
                    asked += 1;
                    Err(Error::Refused(Refusal::Stopping))
                }
            },
            || false,
        );
        assert!(matches!(result, Err(Error::Refused(Refusal::Stopping))));
        assert_eq!(asked, 1);
    }
}
