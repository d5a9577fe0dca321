//! No command outlives this program: prctl(2)'s `PR_SET_PDEATHSIG`.
//!
//! A command has a process group of its own, so nothing that ends us would end it, and a `mkfs` that
//! went on alone would write below the next run. The kernel kills it with us, also where we are
//! killed by SIGKILL.
//!
//! The signal follows the *thread* that started the command: a thread that starts one has to live
//! until that one ends, which is so where it waits for it, as [`run`](crate::Runner::run) does.
//! What the command itself starts is not killed: fork(2) clears the setting.

use std::{io, os::unix::process::CommandExt, process::Command};

use nix::{
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
    unistd::{getpid, getppid},
};

/// Has the kernel kill what `command` starts when the thread that starts it ends.
pub(crate) fn prevent(command: &mut Command) {
    let parent = getpid();
    let ask = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have been killed before the kernel was asked.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(io::ErrorKind::Interrupted)) }
    };
    #[expect(unsafe_code, reason = "between fork and exec, it makes two system calls and allocates nothing")]
    // SAFETY: prctl(2) and getppid(2) touch no memory and no lock; the errors are plain codes.
    unsafe {
        command.pre_exec(ask);
    }
}

/// The same for what `command` starts in a process namespace of its own, where its parent cannot be seen. No signal is
/// blocked there, though this thread may wait for some.
pub(crate) fn prevent_unseen(command: &mut Command) {
    let ask = || {
        SigSet::empty().thread_set_mask()?;
        Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
    };
    #[expect(unsafe_code, reason = "between fork and exec, it makes two system calls and allocates nothing")]
    // SAFETY: sigprocmask(2) and prctl(2) take no lock and allocate nothing; the errors are plain codes.
    unsafe {
        command.pre_exec(ask);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a program of ours has to be killed")]
mod tests {
    use std::{
        env, fs, thread,
        time::{Duration, Instant},
    };

    use crate::{Runner, System, Tool};

    /// Set in the program that is killed: how long its command sleeps, and what marks that command.
    const SECONDS: &str = "BAREON_TEST_SLEEP";

    /// Whether a process with these arguments runs.
    fn runs(arguments: &str) -> bool {
        let line: Vec<u8> = arguments.bytes().map(|b| if b == b' ' { 0 } else { b }).chain([0]).collect();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()).any(|found| found == line)
    }

    fn wait_until(what: &str, is: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_mins(1);
        while !is() {
            assert!(Instant::now() < until, "never: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_command_is_killed_with_the_program_that_started_it() {
        if let Ok(seconds) = env::var(SECONDS) {
            // This is the program that is killed.
            let _ = System::default().run(&Tool::Driver.cmd().args(["sleep", &seconds]));
            return;
        }
        let seconds = format!("600.{}", std::process::id());
        let sleep = format!("sleep {seconds}");
        let mut program = std::process::Command::new(env::current_exe().unwrap())
            .args(["--exact", "orphan::tests::a_command_is_killed_with_the_program_that_started_it"])
            .env(SECONDS, &seconds)
            .spawn()
            .unwrap();
        wait_until("the command starts", || runs(&sleep));
        program.kill().unwrap();
        program.wait().unwrap();
        wait_until("the command is gone", || !runs(&sleep));
    }
}
