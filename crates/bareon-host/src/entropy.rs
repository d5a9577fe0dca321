//! The kernel's random numbers, which a machine that has just booted may not have yet.
//!
//! Until the kernel's generator is ready, each UUID that sfdisk, mkfs or mkswap makes costs them two seconds:
//! util-linux asks without waiting, sixteen times (`lib/randutils.c`), and takes worse numbers then. A read of
//! `/dev/random` that waits makes the kernel gather the entropy itself (`try_to_generate_entropy()`, since Linux
//! 5.4), which takes it a second at most. A ramdisk on a machine without a hardware generator is where that counts.

use std::{fs::File, io::Read, sync::mpsc, thread, time::Duration};

/// How long it is waited for. Older kernels only wait, for interrupts; the tools cope without, as said above.
const LIMIT: Duration = Duration::from_secs(5);

/// Waits until the kernel's generator is ready, not longer than a few seconds. Whether it is.
pub fn wait() -> bool {
    let (done, ready) = mpsc::channel();
    thread::spawn(move || {
        let read = File::open("/dev/random").and_then(|mut random| random.read_exact(&mut [0]));
        // Nobody listens any more after the limit.
        let _ = done.send(read.is_ok());
    });
    ready.recv_timeout(LIMIT).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_that_runs_for_long_has_random_numbers() {
        assert!(super::wait());
    }
}
