//! Running this program again in namespaces of its own, of which nothing is left when it ends.
//!
//! The second one is the first process of a new process namespace: when it ends, however it ends, the kernel ends all
//! that it started, daemons too. It has mounts of its own, which go with the last of these processes. And it is killed
//! when the first one is, so a SIGKILL to that leaves nothing either.
//!
//! Without root, a user namespace comes first, in which the caller is root over the ids that `/etc/subuid` and
//! `/etc/subgid` give him. unshare(1) makes it, as mapping more than one id needs `newuidmap(1)`.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitCode, ExitStatus},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{SigSet, Signal, kill},
    unistd::{Pid, geteuid},
};

use crate::orphan;

/// Set in the environment of the program that runs within: `user` in the user namespace alone, `all` in all of them.
const MARK: &str = "_BAREON_NAMESPACES";

/// Where this process stands.
#[derive(Debug)]
pub enum Entered {
    /// Within: go on.
    Inside,
    /// Outside: the one within has ended, with this status.
    Ended(ExitCode),
}

/// Namespaces that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The user namespace.
    #[error(
        "starting this program in a user namespace by `unshare --user --map-root-user --map-auto`: install uidmap and \
         util-linux 2.38 or newer, and give this user ids in /etc/subuid and /etc/subgid; or run it as root"
    )]
    User(#[source] io::Error),
    /// The others.
    #[error("making a process and a mount namespace; is this a container? It needs CAP_SYS_ADMIN then")]
    Unshare(#[source] io::Error),
    /// The program within did not end by itself.
    #[error(
        "the program in its namespaces ended with {0}; nothing of it runs or is mounted any more; was it out of memory (dmesg)?"
    )]
    Killed(ExitStatus),
    /// The program within.
    #[error("starting this program in its namespaces")]
    Start(#[source] io::Error),
    /// `/proc` of the namespace.
    #[error(
        "mounting /proc for the process namespace; a container has to be given an unmasked /proc for this"
    )]
    Proc(#[source] io::Error),
}

/// Starts this program again with the same arguments, in namespaces of its own, and waits for it; or tells the one
/// that was started so to go on. To be called first, before any thread is there.
///
/// # Errors
/// When the kernel or a tool refuses.
pub fn enter() -> Result<Entered, NamespaceError> {
    let mark = env::var(MARK).unwrap_or_default();
    if mark == "all" {
        // The processes of the namespace, and no others, are to be seen.
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
            .map_err(|errno| NamespaceError::Proc(errno.into()))?;
        return Ok(Entered::Inside);
    }
    if !geteuid().is_root() && mark != "user" {
        return Err(NamespaceError::User(user()));
    }
    let refused = |errno: nix::Error| NamespaceError::Unshare(errno.into());
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)
        .map_err(refused)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&str>)
        .map_err(refused)?;
    Ok(Entered::Ended(attend(start().map_err(NamespaceError::Start)?)?))
}

/// Becomes this program in a user namespace; comes back only where that fails.
#[expect(clippy::disallowed_methods, reason = "this process itself goes on as another program")]
fn user() -> io::Error {
    let exe = match env::current_exe() {
        Ok(exe) => exe,
        Err(error) => return error,
    };
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--"])
        .arg(exe)
        .args(env::args_os().skip(1))
        .env(MARK, "user")
        .exec()
}

/// Starts this program within. The signals that are forwarded are blocked from here on, in this process alone.
#[expect(clippy::disallowed_methods, reason = "what is started is this program itself, not a tool")]
fn start() -> io::Result<Child> {
    forwarded().thread_block()?;
    let mut command = Command::new(env::current_exe()?);
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    command.args(env::args_os().skip(1)).env(MARK, "all");
    orphan::prevent_unseen(&mut command);
    command.spawn()
}

/// What is passed on, and what tells that the one within has ended.
fn forwarded() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect()
}

/// Waits until the one within has ended, and passes on to it what this process is told.
fn attend(mut child: Child) -> Result<ExitCode, NamespaceError> {
    let pid = i32::try_from(child.id()).map(Pid::from_raw);
    loop {
        match forwarded().wait() {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(signal) => {
                // It may have ended meanwhile.
                let _ = pid.map(|pid| kill(pid, signal));
            }
        }
        if let Some(status) = child.try_wait().map_err(NamespaceError::Start)? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return code.map(ExitCode::from).ok_or(NamespaceError::Killed(status));
        }
    }
}
