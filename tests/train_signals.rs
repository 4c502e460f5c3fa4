//! Signals in a process of its own: what they did before is given back, a second one ends at once.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use resnet_cpu::runtime::{INTERRUPTED, Interrupt};

const CASE: &str = "RESNET_CPU_TEST_SIGNALS";

/// Runs the test below once more in a process of its own, as `case`; `ignored` signals are so from its
/// beginning, as `nohup` leaves them.
fn child(case: &str, ignored: &str) -> ExitStatus {
    let test = std::env::current_exe().unwrap();
    let script = format!("trap '' {ignored}; exec \"$0\" --exact a_case_in_its_own_process");
    let script = script.trim_start_matches("trap '' ; ");
    Command::new("sh").args(["-c", script]).arg(test).env(CASE, case).status().unwrap()
}

fn signal(name: &str) {
    let pid = std::process::id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    // The thread that hears them ends the process; it is somewhat behind.
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn a_case_in_its_own_process() {
    let Ok(case) = std::env::var(CASE) else { return };
    let interrupt = Interrupt::catch(|| {}).unwrap();
    match case.as_str() {
        "given back" => {
            signal("-TERM");
            assert!(interrupt.is_raised());
            drop(interrupt);
            let again = Interrupt::catch(|| {}).unwrap();
            signal("-HUP");
            assert!(again.is_raised());
            drop(again);
            signal("-TERM");
        }
        "twice" => {
            signal("-HUP");
            signal("-INT");
        }
        "once" => {
            signal("-HUP");
            signal("-HUP");
            signal("-TERM");
            assert!(interrupt.is_raised());
            std::process::exit(7);
        }
        "later" => {
            signal("-TERM");
            std::thread::sleep(std::time::Duration::from_secs(2));
            signal("-TERM");
        }
        "twice, saved" => {
            interrupt.has_saved();
            signal("-INT");
            signal("-INT");
        }
        "ignored" => {
            signal("-HUP");
            assert!(!interrupt.is_raised());
            signal("-TERM");
            assert!(interrupt.is_raised());
            std::process::exit(7);
        }
        other => panic!("{other}"),
    }
    std::process::exit(9);
}

#[test]
fn handlers_are_given_back_and_a_second_signal_ends_at_once() {
    // SIGTERM.
    assert_eq!(child("given back", "").signal(), Some(15));
    assert_eq!(child("twice", "").code(), Some(1), "nothing was saved");
    assert_eq!(child("twice, saved", "").code(), Some(INTERRUPTED));
    assert_eq!(child("once", "").code(), Some(7), "a terminal that closes");
    assert_eq!(child("later", "").code(), Some(1), "asked again");
    assert_eq!(child("ignored", "HUP").code(), Some(7));
}
