use seccompiler::sock_filter;

use super::*;

/// What the kernel would answer to a call with that first argument.
fn judged(program: &[sock_filter], call: i64, argument: u64) -> u32 {
    // As `struct seccomp_data`: call, architecture, instruction pointer, arguments.
    let arch: u32 = match cfg!(target_arch = "x86_64") {
        true => 0xc000_003e,
        false => 0xc000_00b7,
    };
    let call = u32::try_from(call).expect("a call");
    let mut data = [call.to_ne_bytes(), arch.to_ne_bytes()].concat();
    data.extend([0; 8]);
    data.extend(argument.to_ne_bytes());
    data.extend([0; 40]);
    let (mut at, mut value) = (0, 0);
    loop {
        let step = &program[at];
        let taken = match u32::from(step.code) {
            libc::BPF_RET => return step.k,
            code if code & 7 == libc::BPF_LD => {
                let from = usize::try_from(step.k).expect("an offset");
                let word = data[from..from + 4].try_into().expect("four bytes");
                value = u32::from_ne_bytes(word);
                true
            }
            code if code & 7 == libc::BPF_ALU => {
                value &= step.k;
                true
            }
            code => match code & 0xf0 {
                libc::BPF_JA => {
                    at += usize::try_from(step.k).expect("a step");
                    true
                }
                libc::BPF_JEQ => value == step.k,
                libc::BPF_JGT => value > step.k,
                libc::BPF_JGE => value >= step.k,
                other => panic!("unknown step {other:#x}"),
            },
        };
        at += 1 + usize::from(if taken { step.jt } else { step.jf });
    }
}

#[test]
fn signals_are_sent_to_nobody_else() {
    let program = program().expect("a program");
    let own = u64::from(std::process::id());
    let parent = u64::from(std::os::unix::process::parent_id());
    let sent = |call, to| judged(&program, call, to) == libc::SECCOMP_RET_ALLOW;
    assert!(sent(libc::SYS_tgkill, own));
    for other in [parent, 0, u64::from(u32::MAX)] {
        assert!(!sent(libc::SYS_tgkill, other), "{other}");
    }
    for call in [libc::SYS_kill, libc::SYS_tkill, libc::SYS_pidfd_send_signal] {
        assert!(!sent(call, own) && !sent(call, parent), "{call}");
    }
}
