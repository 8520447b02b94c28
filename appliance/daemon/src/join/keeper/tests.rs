//! A wipe that takes long, and what is ordered meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stele_device::linux::disk::{OpenMode, Wishes};
use stele_store::wipe::Pace;
use tempfile::TempDir;

use super::*;
use crate::join::refusal::Unwiped;
use crate::opener::Opener;
use crate::supervisor::Machine;
use crate::vault::create::{Options, create};
use crate::vault::disks::open_kept;

/// An engine on three disks, and the work of its keeper, not begun.
fn vault(directory: &Directory) -> (Machine, Work) {
    drop(create(directory, &Options::default()).expect("made"));
    let config = directory.existing().expect("a vault");
    let bell = Bell::default();
    let (wishes, waker) = (Wishes::default(), bell.disk_waker());
    let slots = open_kept(&config, directory.path(), OpenMode::Write, &wishes, &waker);
    let slots = slots.expect("disks");
    let bays = Bays::new(&slots);
    let opener = Opener {
        keys: directory.keys(config.key_source()),
        bays: bays.clone(),
        client_buckets: config.client_buckets(),
        serials: config.serials(),
        index_cache_bytes: None,
    };
    let machine = Machine::start(slots, opener, None, &bell).expect("an engine");
    let charge = Charge {
        link: machine.link(),
        bell,
        directory: directory.clone(),
        config,
        bays,
    };
    let work = Work::new(charge, machine.watch().clone());
    (machine, work)
}

/// A wipe that lasts until it is told to end.
fn endless(path: &Path) -> Wiping {
    let pace = Pace::default();
    let ends = pace.clone();
    let thread = std::thread::spawn(move || {
        while !ends.is_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    Wiping {
        path: path.to_owned(),
        id: FileId::of(path).ok(),
        request: 7,
        pace,
        over: Arc::new(AtomicBool::new(false)),
        thread,
    }
}

fn file(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, [0; 4_096]).expect("written");
    path
}

fn wipe_of(path: &Path) -> WipeAsk {
    WipeAsk::Wipe {
        request: 8,
        path: path.display().to_string(),
    }
}

fn addition(path: &Path) -> Join {
    Join::Add {
        path: path.display().to_string(),
        bytes: None,
    }
}

#[test]
fn a_wipe_holds_up_neither_other_orders_nor_the_stop() {
    let dir = TempDir::new().expect("a directory");
    let directory = Directory::new(&dir.path().join("vault")).expect("a path");
    let (machine, mut work) = vault(&directory);
    let (wiped, other) = (file(&dir, "wiped"), file(&dir, "other"));
    let alias = dir.path().join("alias");
    std::os::unix::fs::symlink(&wiped, &alias).expect("linked");
    work.wiping = Some(endless(&wiped));
    let (sender, orders) = sync_channel(JOIN_QUEUE_COUNT_MAX);
    let keeper = std::thread::spawn(move || work.run(&orders));
    let (reply, answer) = oneshot::channel();
    sender.send(Order::Drain(9, reply)).expect("ordered");
    answer.blocking_recv().expect("answered").expect_err("none");
    let (reply, answer) = oneshot::channel();
    let order = Order::Wipe(wipe_of(&other), reply);
    sender.send(order).expect("ordered");
    let refused = answer.blocking_recv().expect("answered");
    let refused = refused.expect_err("one at a time");
    assert!(matches!(*refused.why, Unwiped::Other { .. }), "{refused}");
    let said = refused.to_string();
    let names = |part: &str| assert!(said.contains(part), "{part}: {said}");
    names(&wiped.display().to_string());
    names("request 7, 0 of 0 bytes are blank");
    let (reply, answer) = oneshot::channel();
    let order = Order::Wipe(wipe_of(&alias), reply);
    sender.send(order).expect("ordered");
    let refused = answer.blocking_recv().expect("answered");
    let said = refused.expect_err("under way").to_string();
    assert!(said.contains("it is being wiped (request 7"), "{said}");
    let (reply, answer) = oneshot::channel();
    let order = Order::Join(addition(&alias), reply);
    sender.send(order).expect("ordered");
    let refused = answer.blocking_recv().expect("answered");
    let refused = refused.expect_err("being wiped");
    assert!(matches!(refused.why, Unfit::Wiped(_)), "{refused}");
    drop(sender);
    keeper.join().expect("it interrupts the wipe");
    machine.stop().expect("stopped");
}

#[test]
fn an_order_whose_asker_gave_up_is_left_undone() {
    let dir = TempDir::new().expect("a directory");
    let directory = Directory::new(&dir.path().join("vault")).expect("a path");
    let (machine, mut work) = vault(&directory);
    let path = dir.path().join("further");
    let (sender, orders) = sync_channel(JOIN_QUEUE_COUNT_MAX);
    let (reply, gone) = oneshot::channel();
    drop(gone);
    let order = Order::Join(addition(&path), reply);
    sender.send(order).expect("ordered");
    let keeper = std::thread::spawn(move || work.run(&orders));
    let (reply, answer) = oneshot::channel();
    sender.send(Order::Drain(9, reply)).expect("ordered");
    answer.blocking_recv().expect("answered").expect_err("none");
    assert!(!path.exists(), "nobody waits for it");
    // It would have been done.
    let (reply, answer) = oneshot::channel();
    let order = Order::Join(addition(&path), reply);
    sender.send(order).expect("ordered");
    answer.blocking_recv().expect("answered").expect("joined");
    assert!(path.exists());
    drop(sender);
    keeper.join().expect("ended");
    machine.stop().expect("stopped");
}
