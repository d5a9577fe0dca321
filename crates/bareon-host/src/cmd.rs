//! A command as a value: a program, its arguments, what it reads, which statuses are fine.
//!
//! A command is made by a wrapper, shown in a plan, run by a [`Runner`](crate::Runner). What
//! [`Display`](fmt::Display) prints can be pasted into a shell as it is, but for the credentials of addresses
//! ([`without_credentials`]): logs and reports are read by more people than a repository's password is for.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    fmt,
    path::Path,
    time::Duration,
};

use crate::Tool;

/// How long a command may run unless it says otherwise. No tool that is used here takes as long
/// on a sound disk; a controller that hangs is to be reported, not waited for.
const TIME_LIMIT: Duration = Duration::from_mins(30);

/// The limit of commands that read or tell a little, and never write much.
pub(crate) const SHORT: Duration = Duration::from_mins(3);

/// A call of a [`Tool`], ready to run or to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    tool: Tool,
    args: Vec<OsString>,
    stdin: Option<String>,
    private: bool,
    env: Vec<(String, String)>,
    also_ok: Vec<i32>,
    time_limit: Duration,
}

impl Cmd {
    /// A call of `tool` without arguments.
    pub fn new(tool: Tool) -> Self {
        Self {
            tool,
            args: Vec::new(),
            stdin: None,
            private: false,
            env: Vec::new(),
            also_ok: Vec::new(),
            time_limit: TIME_LIMIT,
        }
    }

    /// A call of `program`, which the system installed at `root` brings, in a chroot.
    ///
    /// `PATH` is set by `env(1)` inside, as the shell that one pastes this into may have another.
    pub fn inside(root: &Path, program: &str) -> Self {
        Self::inside_with(root, &[], program)
    }

    /// The same with more of an environment: words of the form `NAME=VALUE`.
    pub fn inside_with(root: &Path, environment: &[&str], program: &str) -> Self {
        Tool::Chroot
            .cmd()
            .arg(root)
            .arg("/usr/bin/env")
            .arg("-i")
            .arg("LC_ALL=C")
            .arg(format!("PATH={}", crate::runner::PATH))
            .args(environment)
            .arg(program)
    }

    /// Adds a variable to the environment of a program that runs [inside](Self::inside) a tree.
    #[must_use]
    pub fn env_inside(mut self, name: &str, value: &str) -> Self {
        let at = self.args.iter().position(|arg| arg == "LC_ALL=C").unwrap_or(self.args.len());
        self.args.insert(at, format!("{name}={value}").into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_os_string());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_os_string()));
        self
    }

    /// What the command reads on its standard input; nothing unless given.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// What the command reads and prints is kept out of what is displayed, logged and reported.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Whether what the command reads and prints is kept out of log, messages and report.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Another exit status that is no failure.
    #[must_use]
    pub fn also_ok(mut self, status: i32) -> Self {
        self.also_ok.push(status);
        self
    }

    /// How long the command may run before it is ended.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The program that is called.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// The arguments, without the program's name.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// What is written to the command's standard input.
    pub fn input(&self) -> Option<&str> {
        self.stdin.as_deref()
    }

    /// The environment beside `LC_ALL` and `PATH`.
    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    /// The limit that was set for this command.
    pub fn limit(&self) -> Duration {
        self.time_limit
    }

    /// Whether the command succeeded when it ended with `status`.
    pub fn accepts(&self, status: i32) -> bool {
        status == 0 || self.also_ok.contains(&status)
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(&without_credentials(value)))?;
        }
        f.write_str(self.tool.origin().program)?;
        for arg in &self.args {
            write!(f, " {}", quoted(&without_credentials(&arg.to_string_lossy())))?;
        }
        if self.private && self.stdin.is_some() {
            return f.write_str(" < …");
        }
        if let Some(text) = &self.stdin {
            // A here-document ends at a line of its own, so the text needs its last newline.
            let newline = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
            write!(f, " <<'END'\n{text}{newline}END")?;
        }
        Ok(())
    }
}

/// Text in which each address with a user's name or password (`http://me:secret@host/`) has `***` in their place.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "://";
    let ends = |c: char| c.is_whitespace() || c.is_control() || "/'\"`<>".contains(c);
    let mut shown = Cow::Borrowed("");
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at + BEGIN.len());
        let end = after.find(ends).unwrap_or(after.len());
        shown += before;
        rest = after;
        if let Some(host) = after[..end].rfind('@') {
            shown += "***";
            rest = &after[host..];
        }
    }
    shown + rest
}

/// `word` as a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_addresses_are_not_displayed() {
        for (text, shown) in [
            ("http://me:s3cret@host/debian", "http://***@host/debian"),
            (
                "deb [trusted=yes] https://me:a@b@host:8080 sid main",
                "deb [trusted=yes] https://***@host:8080 sid main",
            ),
            (
                "got 'http://token@host' http://x/a@b://c@d/ http://",
                "got 'http://***@host' http://x/a@b://***@d/ http://",
            ),
            ("mail me@host, é://ü@ö", "mail me@host, é://***@ö"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
        let cmd =
            Tool::Debootstrap.cmd().env("http_proxy", "http://u:p@proxy:3128").arg("http://me:s3cret@host/d");
        assert_eq!(cmd.to_string(), "http_proxy='http://***@proxy:3128' debootstrap 'http://***@host/d'");
    }

    #[test]
    fn a_command_displays_as_a_shell_reads_it() {
        let cmd = Tool::MkfsExt4.cmd().arg("-L").arg("it's a label").arg("").arg("/dev/sda1");
        assert_eq!(cmd.to_string(), r"mkfs.ext4 -L 'it'\''s a label' '' /dev/sda1");
    }

    #[test]
    fn input_displays_as_a_here_document() {
        let cmd = Tool::Sfdisk.cmd().env("A", "b c").arg("/dev/sda").stdin("label: gpt");
        assert_eq!(cmd.to_string(), "A='b c' sfdisk /dev/sda <<'END'\nlabel: gpt\nEND");
    }

    #[test]
    fn what_is_private_is_not_displayed() {
        let cmd = Tool::Driver.cmd().arg("/x").stdin("s3cret").private();
        assert_eq!(cmd.to_string(), "env /x < …");
    }

    #[test]
    fn statuses_named_beside_zero_are_accepted() {
        let cmd = Tool::E2fsck.cmd().also_ok(1);
        assert!(cmd.accepts(0) && cmd.accepts(1) && !cmd.accepts(2));
    }
}
