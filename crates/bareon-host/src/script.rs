//! A fake machine for unit tests: it expects commands in order and answers what it was told.

use std::{cell::RefCell, collections::VecDeque, fs::File, io, os::fd::OwnedFd};

use crate::{Cmd, CommandError, Output, Runner, runner};

/// Expected commands and their answers. Dropping it fails the test where one never ran.
#[derive(Debug, Default)]
pub struct Script {
    expected: RefCell<VecDeque<Expected>>,
}

#[derive(Debug)]
struct Expected {
    line: String,
    status: i32,
    stdout: String,
    stderr: String,
}

impl Script {
    /// Expects a command that displays as `line`, and answers it with `stdout`.
    #[must_use]
    pub fn ok(self, line: &str, stdout: &str) -> Self {
        self.then(line, 0, stdout, "")
    }

    /// Expects a command that displays as `line`, and fails it.
    #[must_use]
    pub fn fails(self, line: &str, status: i32, stderr: &str) -> Self {
        self.then(line, status, "", stderr)
    }

    fn then(self, line: &str, status: i32, stdout: &str, stderr: &str) -> Self {
        self.expected.borrow_mut().push_back(Expected {
            line: line.into(),
            status,
            stdout: stdout.into(),
            stderr: stderr.into(),
        });
        self
    }
}

impl Runner for Script {
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
        let line = cmd.to_string();
        let next = self.expected.borrow_mut().pop_front();
        let Some(next) = next else { panic!("`{line}` ran, no command was expected") };
        assert_eq!(line, next.line, "another command was expected");
        if cmd.accepts(next.status) {
            Ok(Output { status: next.status, stdout: next.stdout, stderr: next.stderr })
        } else {
            Err(CommandError::Failed {
                cmd: line,
                status: runner::status(next.status),
                stdout: next.stdout,
                stderr: next.stderr,
                private: cmd.is_private(),
            })
        }
    }

    /// Reads all of `input`, whatever the answer is.
    fn run_fed(&self, cmd: &Cmd, input: OwnedFd) -> Result<Output, CommandError> {
        let line = cmd.to_string();
        let read = io::copy(&mut File::from(input), &mut io::sink());
        assert!(read.is_ok(), "{line}: {read:?}");
        self.run(cmd)
    }

    fn has(&self, _tool: crate::Tool) -> bool {
        true
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let left: Vec<_> = self.expected.borrow().iter().map(|e| e.line.clone()).collect();
        assert!(left.is_empty(), "these commands never ran: {left:#?}");
    }
}
