use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use stele_device::evil::{Mains, Plan};

use crate::protocol::{
    DISCONNECT, EINVAL, EIO, FLUSH, FUA, OPT_EXPORT_NAME, OPT_GO, OPTION_MAGIC, OPTION_REPLY_MAGIC,
    READ, REP_ACK, REP_UNSUPPORTED, REPLY_MAGIC, REQUEST_MAGIC, SERVER_MAGIC, TRIM, WRITE, take,
    take_u32, take_u64,
};
use crate::server::serve;

const BYTES: u64 = 1 << 20;

/// A client of a server in a thread of its own.
struct Client(UnixStream);

impl Client {
    fn greeted(file: &Path, plan: &str) -> (Client, Mains) {
        let plan: Plan = plan.parse().expect("a plan");
        let mains = Mains::new(plan, || {});
        let cache = Arc::clone(&mains.cache(file, BYTES).expect("a cache"));
        let (own, other) = UnixStream::pair().expect("a pair");
        std::thread::spawn(move || serve(other, &cache));
        let mut client = Client(own);
        assert_eq!(take_u64(&mut client.0).unwrap(), SERVER_MAGIC);
        assert_eq!(take_u64(&mut client.0).unwrap(), OPTION_MAGIC);
        let flags = u16::from_be_bytes(take(&mut client.0).unwrap());
        assert_eq!(flags, 3);
        client.0.write_all(&3_u32.to_be_bytes()).unwrap();
        (client, mains)
    }

    fn connected(file: &Path, plan: &str) -> (Client, Mains) {
        let (mut client, mains) = Client::greeted(file, plan);
        client.option(OPT_GO, &[0; 6]);
        while client.option_reply().0 != REP_ACK {}
        (client, mains)
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        self.0.write_all(&OPTION_MAGIC.to_be_bytes()).unwrap();
        self.0.write_all(&option.to_be_bytes()).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(data).unwrap();
    }

    fn option_reply(&mut self) -> (u32, Vec<u8>) {
        assert_eq!(take_u64(&mut self.0).unwrap(), OPTION_REPLY_MAGIC);
        take_u32(&mut self.0).unwrap();
        let kind = take_u32(&mut self.0).unwrap();
        let length = take_u32(&mut self.0).unwrap();
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut data).unwrap();
        (kind, data)
    }

    /// Sends a request; the error of its answer.
    fn ask(&mut self, (kind, flags): (u16, u16), offset: u64, length: u32, data: &[u8]) -> u32 {
        self.0.write_all(&REQUEST_MAGIC.to_be_bytes()).unwrap();
        self.0.write_all(&flags.to_be_bytes()).unwrap();
        self.0.write_all(&kind.to_be_bytes()).unwrap();
        self.0.write_all(&77_u64.to_be_bytes()).unwrap();
        self.0.write_all(&offset.to_be_bytes()).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(data).unwrap();
        assert_eq!(take_u32(&mut self.0).unwrap(), REPLY_MAGIC);
        let error = take_u32(&mut self.0).unwrap();
        assert_eq!(take_u64(&mut self.0).unwrap(), 77);
        error
    }

    fn write(&mut self, flags: u16, offset: u64, value: u8) -> u32 {
        self.ask((WRITE, flags), offset, 4096, &[value; 4096])
    }

    fn read(&mut self, offset: u64) -> u8 {
        assert_eq!(self.ask((READ, 0), offset, 4096, &[]), 0);
        let block: [u8; 4096] = take(&mut self.0).unwrap();
        assert!(block.iter().all(|byte| *byte == block[0]));
        block[0]
    }
}

fn with_file(check: impl Fn(&Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nbd.disk");
    std::fs::write(&path, vec![0; 1 << 20]).expect("a file");
    check(&path);
}

fn medium(path: &Path, offset: usize) -> Vec<u8> {
    std::fs::read(path).expect("read")[offset..offset + 4096].to_vec()
}

#[test]
fn a_client_learns_the_size_in_both_ways_and_unknown_options_are_refused() {
    with_file(|path| {
        let (mut client, _mains) = Client::greeted(path, "seed=1");
        client.option(99, b"what");
        assert_eq!(client.option_reply().0, REP_UNSUPPORTED);
        client.option(OPT_GO, &[0; 6]);
        let (_, export) = client.option_reply();
        assert_eq!(export[2..10], BYTES.to_be_bytes());
        let (mut client, _mains) = Client::greeted(path, "seed=1");
        client.option(OPT_EXPORT_NAME, b"");
        assert_eq!(take_u64(&mut client.0).unwrap(), BYTES);
        let flags: [u8; 2] = take(&mut client.0).unwrap();
        assert_eq!(u16::from_be_bytes(flags), 45);
        assert_eq!(client.read(0), 0);
    });
}

#[test]
fn what_is_written_is_read_and_what_is_wrong_is_refused() {
    with_file(|path| {
        let (mut client, _mains) = Client::connected(path, "seed=1");
        assert_eq!(client.write(0, 4096, 7), 0);
        assert_eq!((client.read(4096), client.read(0)), (7, 0));
        assert_eq!(client.ask((TRIM, 0), 4096, 4096, &[]), 0);
        assert_eq!(client.read(4096), 0);
        assert_eq!(client.write(0, 512, 1), EINVAL);
        assert_eq!(client.write(0, BYTES, 1), EINVAL);
        assert_eq!(client.ask((250, 0), 0, 0, &[]), EINVAL);
        client.0.write_all(&REQUEST_MAGIC.to_be_bytes()).unwrap();
        client.0.write_all(&0_u16.to_be_bytes()).unwrap();
        client.0.write_all(&DISCONNECT.to_be_bytes()).unwrap();
        client.0.write_all(&[0; 20]).unwrap();
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "the server hangs up");
    });
}

#[test]
fn flushed_and_fua_writes_survive_every_cut_and_others_do_not_always() {
    let lost = (0..40).filter(|seed| {
        let mut lost = false;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nbd.disk");
        std::fs::write(&path, vec![0; 1 << 20]).expect("a file");
        let (mut client, mains) = Client::connected(&path, &format!("seed={seed}"));
        assert_eq!(client.write(0, 0, 1), 0);
        assert_eq!(client.ask((FLUSH, 0), 0, 0, &[]), 0);
        assert_eq!(client.write(FUA, 4096, 2), 0);
        assert_eq!(client.write(0, 8192, 3), 0);
        mains.cut();
        assert_eq!(client.write(0, 0, 9), EIO);
        assert!(medium(&path, 0) == [1; 4096], "flushed, seed {seed}");
        assert!(medium(&path, 4096) == [2; 4096], "FUA, seed {seed}");
        lost |= medium(&path, 8192) != [3; 4096];
        lost
    });
    assert!(lost.count() > 10);
}
