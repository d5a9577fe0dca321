//! SIGTERM, SIGINT and SIGHUP end a run in good order.
//!
//! The handler only stores which signal came and calls [`bareon_host::runner::cancel`]: the command
//! that runs is ended, no other starts, and what was mounted is unmounted on the way out. A thread
//! in `sigwait` would need no handler, but it asks for the signals to be blocked, and the commands
//! that we start would inherit that and could not be ended by SIGTERM.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};

static RECEIVED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: nix::libc::c_int) {
    RECEIVED.store(number, Ordering::SeqCst);
    bareon_host::runner::cancel();
}

/// Catches the signals from now on. One that was ignored so far (`nohup`) stays so.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn catch() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let before = set(signal, &action)?;
        if matches!(before.handler(), SigHandler::SigIgn) {
            set(signal, &before)?;
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "the handler does nothing but two atomic stores, which is safe in one")]
fn set(signal: Signal, action: &SigAction) -> nix::Result<SigAction> {
    unsafe { nix::sys::signal::sigaction(signal, action) }
}

/// The signal that told the run to stop, where one did.
pub fn received() -> Option<&'static str> {
    Signal::try_from(RECEIVED.load(Ordering::SeqCst)).ok().map(Signal::as_str)
}
