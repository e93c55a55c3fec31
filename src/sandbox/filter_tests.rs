use std::collections::BTreeMap;

use nix::unistd::Pid;

use super::*;

fn needs(watched: bool, stepped_by: Option<i32>) -> Needs {
    Needs { watched, stepped_by: stepped_by.map(Pid::from_raw), ..Needs::default() }
}

/// What the kernel would answer: these are all the instructions that a program here has.
fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
    let (mut at, mut loaded) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        let holds = |holds| usize::from(if holds { jt } else { jf });
        at += 1;
        match u32::from(code) & !libc::BPF_K {
            code if code == libc::BPF_RET => return k,
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                loaded = match k {
                    NUMBER_AT => number,
                    ARCHITECTURE_AT => architecture,
                    k => arguments[((k - 16) / 8) as usize],
                }
            }
            code if code == libc::BPF_JMP | libc::BPF_JEQ => at += holds(loaded == k),
            code if code == libc::BPF_JMP | libc::BPF_JGE => at += holds(loaded >= k),
            code if code == libc::BPF_JMP | libc::BPF_JSET => at += holds(loaded & k != 0),
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn answers(needs: &Needs, number: libc::c_long, arguments: [u32; 3]) -> u32 {
    run(&program(needs).unwrap(), ARCHITECTURE.unwrap(), number as u32, arguments)
}

const TRAP: u32 = libc::SECCOMP_RET_TRAP;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

#[test]
fn every_number_gets_the_answer_of_the_table_and_all_others_the_end() {
    for needs in [needs(false, None), needs(true, None), needs(true, Some(77))] {
        let known: BTreeMap<u32, Verdict> = rules(&needs).into_iter().collect();
        let program = program(&needs).unwrap();
        for number in (0..2048).chain([0x4000_0000, 0x4000_0000 | libc::SYS_read as u32, u32::MAX - 1, NO_CALL]) {
            let answer = run(&program, ARCHITECTURE.unwrap(), number, [u32::MAX; 3]);
            let expected = match known.get(&number) {
                Some(Verdict::Allowed) => ALLOW,
                Some(Verdict::Refused) => libc::SECCOMP_RET_ERRNO | libc::EACCES as u32,
                _ => TRAP, // nothing is allowed with such arguments
            };
            assert_eq!(answer, expected, "{number}, {needs:?}");
        }
    }
}

#[test]
fn another_architectures_numbers_end_the_child() {
    let program = program(&needs(true, Some(77))).unwrap();
    for number in 0..512 {
        assert_eq!(run(&program, 0x4000_0003, number, [0; 3]), libc::SECCOMP_RET_KILL_PROCESS, "{number}");
    }
}

#[test]
fn memory_is_for_data() {
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let with = |protection: i32| answers(&needs(false, None), call, [0, 0, protection as u32]);
        assert_eq!(with(libc::PROT_READ | libc::PROT_WRITE), ALLOW);
        assert_eq!(with(libc::PROT_EXEC), TRAP);
        assert_eq!(with(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC), TRAP);
    }
}

#[test]
fn only_who_steps_may_send_a_signal_and_only_one() {
    let kill = |needs: &Needs, pid: u32, signal: i32| answers(needs, libc::SYS_kill, [pid, signal as u32, 0]);
    let steps = needs(true, Some(77));
    assert_eq!(kill(&steps, 77, libc::SIGTERM), ALLOW);
    assert_eq!([kill(&steps, 78, libc::SIGTERM), kill(&steps, 77, libc::SIGKILL)], [TRAP; 2]);
    assert_eq!([kill(&steps, u32::MAX, libc::SIGTERM), kill(&needs(true, None), 77, libc::SIGTERM)], [TRAP; 2]);
}

#[test]
fn a_terminal_is_asked_and_never_typed_at() {
    let ioctl = |needs: &Needs, what: libc::Ioctl| answers(needs, libc::SYS_ioctl, [0, what as u32, 0]);
    assert_eq!(ioctl(&needs(false, None), libc::FIONREAD), TRAP);
    assert_eq!(ioctl(&needs(true, None), libc::FIONREAD), ALLOW);
    assert_eq!(ioctl(&needs(true, None), libc::TCSETS), TRAP);
    let steps = needs(true, Some(77));
    assert_eq!(ASKED_AT_TERMINAL.iter().map(|what| ioctl(&steps, *what as libc::Ioctl)).max(), Some(ALLOW));
    assert_eq!(ASKED_AT_TERMINAL.iter().map(|what| ioctl(&steps, *what as libc::Ioctl)).min(), Some(ALLOW));
    assert_eq!(ioctl(&steps, libc::TIOCSTI), TRAP);
}

/// Each child pays for it: what is needed to look at what is done stays out of the usual one.
#[test]
fn the_usual_program_is_short() {
    let lengths = [needs(false, None), needs(true, Some(77))].map(|needs| program(&needs).unwrap().len());
    assert!(lengths[0] < 128 && lengths[1] < 192, "{lengths:?}");
}
