//! Gives up everything a process that faces the network does not need.
//!
//! First `close_files` (Landlock: no file, no new network address), before the process has a second
//! thread, because it binds threads one by one; then, with all threads running, `close_calls`
//! (seccomp: only the listed system calls; anything but opening a file, which just
//! fails, ends the process). Both last until the
//! process ends, and nothing it starts gets more rights than it has.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock refused what the kernel said it has.
    #[error("access to files cannot be given up: {0}")]
    Files(#[from] landlock::RulesetError),
    /// The filter of system calls cannot be made for this machine.
    #[error("the filter of system calls cannot be made: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error("the filter of system calls cannot be put in place: {0}")]
    Calls(#[from] seccompiler::Error),
    /// A limit or mark of the process could not be set.
    #[error("the limits of the process cannot be set: {0}")]
    Limits(nix::Error),
}

/// How much of the wish the kernel granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforced {
    /// All of it.
    Fully,
    /// What this kernel knows of it.
    Partly,
    /// Nothing: the kernel has no Landlock. The filter of system calls holds alone.
    Not,
}

/// Gives up files, new listeners and connections, core dumps, and being looked into by others of the
/// same user. Open files stay usable. Called before the process has a second thread.
///
/// # Errors
/// See [`SandboxError`]; a kernel without Landlock is no error.
pub fn close_files() -> Result<Enforced, SandboxError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(SandboxError::Limits)?;
    prctl::set_dumpable(false).map_err(SandboxError::Limits)?;
    prctl::set_no_new_privs().map_err(SandboxError::Limits)?;
    // The newest rules this was written for; an older kernel enforces those it has.
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Fully,
        RulesetStatus::PartiallyEnforced => Enforced::Partly,
        RulesetStatus::NotEnforced => Enforced::Not,
    })
}

/// Gives up every system call but those that serve open sockets, timers, memory and threads that run
/// already. Opening a file fails; any other call ends the process at once.
///
/// # Errors
/// See [`SandboxError`].
pub fn close_calls() -> Result<(), SandboxError> {
    // Of two filters the stricter answer counts.
    apply_filter_all_threads(&refusals()?)?;
    apply_filter_all_threads(&program()?)?;
    Ok(())
}

fn program() -> Result<BpfProgram, SandboxError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        PLAIN.iter().map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![without(2, libc::PROT_EXEC)?]);
    }
    let flags = vec![only(1, libc::F_GETFL)?, only(1, libc::F_GETFD)?];
    rules.insert(libc::SYS_fcntl, flags);
    // Only to itself, for panics and the end: the engine's process belongs to the same user, and only newer
    // kernels keep signals from it otherwise.
    let own = libc::c_int::try_from(std::process::id()).unwrap_or(-1);
    rules.insert(libc::SYS_tgkill, vec![only(0, own)?]);
    rules.extend(REFUSED.iter().map(|call| (*call, Vec::new())));
    filter(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What fails instead of ending the process.
fn refusals() -> Result<BpfProgram, SandboxError> {
    let rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let errno = u32::try_from(libc::EACCES).unwrap_or(1);
    filter(rules, SeccompAction::Allow, SeccompAction::Errno(errno))
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, SandboxError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch)?;
    Ok(filter.try_into()?)
}

/// A call with that value in that argument, such as the flags of an open socket that may be asked, not changed.
fn only(argument: u8, value: libc::c_int) -> Result<SeccompRule, SandboxError> {
    let value = u64::try_from(value).unwrap_or(u64::MAX);
    let length = SeccompCmpArgLen::Dword;
    let condition = SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// A call none of whose `flags` is set in that argument: no memory that can be executed.
fn without(argument: u8, flags: libc::c_int) -> Result<SeccompRule, SandboxError> {
    let mask = u64::try_from(flags).unwrap_or(u64::MAX);
    let condition = SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(mask),
        0,
    )?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Calls that libraries try now and then, such as the C library's allocator for a file of the kernel's
/// settings, and do without where they fail.
const REFUSED: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_sysinfo,
    libc::SYS_ioctl,
];

/// Calls allowed with any argument.
const PLAIN: &[i64] = &[
    // What arrives at and leaves through open sockets.
    libc::SYS_accept4,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    // Waiting for it.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_ctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    // Threads that run already, and time.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    // Memory, and randomness.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    // Signals, panics and the end.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(test)]
mod tests;
