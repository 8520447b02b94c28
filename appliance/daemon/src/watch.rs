//! Notices threads that die of a fault in the program, so that the process ends instead of hanging.
//!
//! A crash of the process is something the vault recovers from; a half-dead process is not.

use tokio::sync::mpsc;

/// Hands out guards. Clones report to the same place.
#[derive(Clone, Debug)]
pub struct Watch(mpsc::Sender<&'static str>);

/// Where names of dead threads arrive.
pub type Deaths = mpsc::Receiver<&'static str>;

impl Watch {
    /// A watch and where it reports.
    pub fn new() -> (Watch, Deaths) {
        // One report ends the process; more than one need not fit.
        let (sender, receiver) = mpsc::channel(1);
        (Watch(sender), receiver)
    }

    /// Reports that a thread can do its work no more.
    pub fn tell(&self, name: &'static str) {
        // Full means that a death is reported already.
        let _ = self.0.try_send(name);
    }

    /// A guard for the thread of this name to hold while it runs.
    pub fn guard(&self, name: &'static str) -> Guard {
        Guard {
            name,
            deaths: self.0.clone(),
        }
    }
}

/// Reports when it is dropped by a panic.
#[derive(Debug)]
pub struct Guard {
    name: &'static str,
    deaths: mpsc::Sender<&'static str>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Full means that a death is reported already.
            let _ = self.deaths.try_send(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_and_an_ordinary_end_is_not() {
        let (watch, mut deaths) = Watch::new();
        let guard = watch.guard("calm");
        std::thread::spawn(move || drop(guard))
            .join()
            .expect("ended");
        assert!(deaths.try_recv().is_err());
        let guard = watch.guard("faulty");
        let faulty = std::thread::spawn(move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new("a fault"));
        });
        assert!(faulty.join().is_err());
        assert_eq!(deaths.try_recv(), Ok("faulty"));
    }
}
