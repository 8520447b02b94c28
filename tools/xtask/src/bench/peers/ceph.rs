//! Ceph's RADOS gateway of Debian: one monitor, one OSD with BlueStore on a file, one manager, one
//! gateway, one copy of everything, cephx on.

use super::certificate::Certificate;
use super::daemons::{Daemons, free_ports};
use super::{ACCESS, SECRET};
use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::install::{self, Tool};
use std::path::Path;
use std::time::{Duration, Instant};

/// What it needs.
pub const TOOLS: [Tool; 6] = [
    install::Tool {
        program: "/usr/bin/ceph-mon",
        package: "ceph-mon",
    },
    install::Tool {
        program: "/usr/bin/ceph-osd",
        package: "ceph-osd",
    },
    install::Tool {
        program: "/usr/bin/ceph-mgr",
        package: "ceph-mgr",
    },
    install::Tool {
        program: "/usr/bin/radosgw",
        package: "radosgw",
    },
    install::Tool {
        program: "/usr/bin/ceph",
        package: "ceph-common",
    },
    install::OPENSSL,
];

const OSD_BYTES: u64 = 16 << 30;
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// Starts all of it in a directory; returns the port of the gateway.
pub fn start(directory: &Path, certificate: Option<&Certificate>) -> Outcome<(Daemons, u16)> {
    let [one, two, gateway] = free_ports()?;
    let home = directory.join("ceph");
    for name in ["mon", "mgr", "osd", "run", "crash"] {
        std::fs::create_dir_all(home.join(name))?;
    }
    let id = uuid()?;
    let monitors = format!("[v2:127.0.0.1:{one},v1:127.0.0.1:{two}]");
    let config = home.join("ceph.conf");
    std::fs::write(
        &config,
        settings(&home, &id, &monitors, gateway, certificate),
    )?;
    let cluster = Cluster { home: &home };
    cluster.keys()?;
    let map = home.join("monmap");
    let map = map.to_string_lossy();
    let make = ["--create", "--addv", "a", &monitors, "--fsid", &id, &map];
    Run::new("/usr/bin/monmaptool").args(make).succeed()?;
    let keyring = home.join("keyring");
    let keys = keyring.to_string_lossy();
    let make = ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keys];
    cluster.run("/usr/bin/ceph-mon", &make)?;
    std::fs::copy(&keyring, home.join("mon/keyring"))?;
    let mut daemons = Daemons::default();
    cluster.daemon(&mut daemons, "ceph-mon", &["-i", "a"])?;
    daemons.accepts(one)?;
    let disk = uuid()?;
    cluster.run("/usr/bin/ceph", &["osd", "new", &disk])?;
    let make = ["-i", "0", "--mkfs", "--osd-uuid", &disk];
    cluster.run("/usr/bin/ceph-osd", &make)?;
    cluster.daemon(&mut daemons, "ceph-osd", &["-i", "0"])?;
    cluster.daemon(&mut daemons, "ceph-mgr", &["-i", "x"])?;
    cluster.settle(&mut daemons, "1 up")?;
    let place = [
        "osd",
        "crush",
        "add",
        "osd.0",
        "1.0",
        "host=localhost",
        "root=default",
    ];
    cluster.run("/usr/bin/ceph", &place)?;
    cluster.daemon(&mut daemons, "radosgw", &["-n", "client.rgw"])?;
    daemons.accepts(gateway)?;
    let user = [
        "user",
        "create",
        "--uid",
        "bench",
        "--display-name",
        "bench",
    ];
    let keys = ["--access-key", ACCESS, "--secret-key", SECRET];
    cluster.run("/usr/bin/radosgw-admin", &[&user[..], &keys].concat())?;
    Ok((daemons, gateway))
}

struct Cluster<'a> {
    home: &'a Path,
}

impl Cluster<'_> {
    fn config(&self) -> String {
        self.home.join("ceph.conf").to_string_lossy().into_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        Run::new(program)
            .args(["-c", &self.config()])
            .args(arguments)
            .directory(self.home)
            .deadline(SETTLE_MAX)
            .succeed()
    }

    fn daemon(&self, daemons: &mut Daemons, program: &str, arguments: &[&str]) -> Outcome {
        let (path, config) = (format!("/usr/bin/{program}"), self.config());
        let command = [&[path.as_str(), "-c", &config, "-f"], arguments].concat();
        daemons.start(&command, self.home, program)
    }

    fn keys(&self) -> Outcome {
        let file = self.home.join("keyring");
        let who = [
            ("mon.", "mon=allow *"),
            ("client.admin", "mon=allow *;osd=allow *;mgr=allow *"),
            ("mgr.x", "mon=allow profile mgr;osd=allow *"),
            (
                "osd.0",
                "mon=allow profile osd;mgr=allow profile osd;osd=allow *",
            ),
            ("client.rgw", "mon=allow rw;osd=allow rwx;mgr=allow rw"),
        ];
        for (index, (name, rights)) in who.into_iter().enumerate() {
            let mut run = Run::new("/usr/bin/ceph-authtool").arg(&file);
            if index == 0 {
                run = run.arg("--create-keyring");
            }
            run = run.args(["--gen-key", "-n", name]);
            for (to, what) in rights.split(';').filter_map(|right| right.split_once('=')) {
                run = run.args(["--cap", to, what]);
            }
            run.succeed()?;
        }
        Ok(())
    }

    /// Waits until the cluster's own summary holds a text.
    fn settle(&self, daemons: &mut Daemons, text: &str) -> Outcome {
        let end = Instant::now() + SETTLE_MAX;
        loop {
            daemons.alive()?;
            let said = self.run("/usr/bin/ceph", &["osd", "stat"])?;
            if said.contains(text) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Failure::new(format!("Ceph never said '{text}': {said}")));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn uuid() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().to_owned())
}

fn settings(
    home: &Path,
    id: &str,
    monitors: &str,
    gateway: u16,
    certificate: Option<&Certificate>,
) -> String {
    let home = home.display();
    let frontend = match certificate {
        None => format!("endpoint=127.0.0.1:{gateway}"),
        Some(Certificate { chain, key, .. }) => format!(
            "ssl_endpoint=127.0.0.1:{gateway} ssl_certificate={} ssl_private_key={}",
            chain.display(),
            key.display()
        ),
    };
    format!(
        "[global]\nfsid = {id}\nmon host = {monitors}\npublic network = 127.0.0.0/8\n\
         public addr = 127.0.0.1\ncluster addr = 127.0.0.1\nms bind ipv6 = false\n\
         auth cluster required = cephx\nauth service required = cephx\n\
         auth client required = cephx\nkeyring = {home}/keyring\nrun dir = {home}/run\n\
         admin socket = {home}/run/$name.asok\nlog file = {home}/$name.log\npid file =\n\
         crash dir = {home}/crash\nmon data = {home}/mon\nmgr data = {home}/mgr\n\
         osd data = {home}/osd\nosd objectstore = bluestore\nbluestore block path =\n\
         bluestore block create = true\nbluestore block size = {OSD_BYTES}\n\
         osd memory target = 2147483648\nosd crush chooseleaf type = 0\n\
         osd pool default size = 1\nosd pool default min size = 1\n\
         osd pool default pg num = 8\nosd pool default pgp num = 8\n\
         osd pool default pg autoscale mode = off\nmon allow pool size one = true\n\
         mon warn on pool no redundancy = false\nauth allow insecure global id reclaim = false\n\
         mon data avail crit = 1\nmon data avail warn = 1\nrgw frontends = beast tcp_nodelay=1 {frontend}\n"
    )
}
