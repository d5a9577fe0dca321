//! `/etc/default/grub`: what grub-mkconfig is told.
//!
//! The file is a shell script. Our settings stand in a marked block at its end: the last assignment
//! counts, whatever stands above, so nothing has to be understood or replaced there. Scripts in
//! `/etc/default/grub.d` (Debian's family; images for clouds have some) are read later still: where
//! there are any, the block is put there too, under a name that sorts last.
//!
//! A kernel parameter passes two readers: the shell, for which the value is quoted, and GRUB's own
//! script language, into which grub-mkconfig copies it as it is; for that one [`for_grub`] escapes
//! what would be a variable or the end of a command.

use std::fmt::Write;

use bareon_host::cmd::quoted;

use super::block;

/// The file.
pub const FILE: &str = "/etc/default/grub";

/// The directory of scripts that are read after it.
pub const DIR: &str = "/etc/default/grub.d";

/// Our file there.
pub const LAST: &str = "/etc/default/grub.d/zz-bareon.cfg";

const BEGIN: &str = "# --- written when this system was installed; change it here, what stands last counts";
const END: &str = "# --- end of what was written at installation";

/// Prints the image's own `GRUB_CMDLINE_LINUX` and `GRUB_CMDLINE_LINUX_DEFAULT`, each on a line, as
/// grub-mkconfig would find them: only a shell can tell what a shell script sets. Asked where [`Own::read`] cannot tell.
pub const ASK: &str = "for f in /etc/default/grub /etc/default/grub.d/*.cfg; do \
    [ ! -e \"$f\" ] || . \"$f\"; done >/dev/null; \
    printf '%s\\n' \"$GRUB_CMDLINE_LINUX\" \"$GRUB_CMDLINE_LINUX_DEFAULT\"";

/// What the image's own scripts set, as [`ASK`] printed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// `GRUB_CMDLINE_LINUX`.
    pub cmdline: String,
    /// `GRUB_CMDLINE_LINUX_DEFAULT`.
    pub cmdline_default: String,
}

impl Own {
    /// What `texts`, in the order in which they are read, set by plain assignments alone; nothing where there is more to
    /// them, which only a shell can tell. What other settings are made of does not matter: it runs in a shell of its own
    /// (`GRUB_DISTRIBUTOR=$(…)`).
    pub fn read(texts: &[String]) -> Option<Self> {
        let mut own = Self::default();
        for line in texts.iter().flat_map(|text| text.lines()).map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
            let one_line = ['"', '\'', '`'].iter().all(|quote| value.matches(*quote).count() % 2 == 0);
            if !is_name || !one_line || value.ends_with('\\') || value.contains("<<") {
                return None;
            }
            match name {
                "GRUB_CMDLINE_LINUX" => own.cmdline = literal(value)?,
                "GRUB_CMDLINE_LINUX_DEFAULT" => own.cmdline_default = literal(value)?,
                // More than an assignment may stand on the line.
                _ if literal(value).is_some() || is_substitution(value) => {}
                _ => return None,
            }
        }
        Some(own)
    }

    /// Reads what [`ASK`] printed.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::to_owned);
        Self { cmdline: lines.next().unwrap_or_default(), cmdline_default: lines.next().unwrap_or_default() }
    }
}

/// What a word of a shell is, as long as nothing in it is expanded.
fn literal(value: &str) -> Option<String> {
    let value = value.split(" #").next().unwrap_or_default().trim();
    for quote in ['"', '\''] {
        let inside = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        if let Some(inside) = inside.filter(|inside| !inside.contains(['"', '\'', '$', '`', '\\'])) {
            return Some(inside.to_owned());
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_^".contains(c);
    value.chars().all(plain).then(|| value.to_owned())
}

/// Whether a value is one substitution of a command, and no more.
fn is_substitution(value: &str) -> bool {
    let ticks =
        value.len() > 1 && value.starts_with('`') && value.ends_with('`') && value.matches('`').count() == 2;
    let dollar = value.starts_with("$(") && value.ends_with(')') && value.matches("$(").count() == 1;
    ticks || dollar && value.matches(')').count() == 1
}

/// The names and values to set.
///
/// The parameters replace the image's, but for its consoles where they name none: a machine that is
/// only reached by a serial line would be lost. Where they name some, the image's are removed
/// everywhere, as the last one is the one that the system talks to.
pub fn settings(params: &str, timeout: u32, own: &Own) -> Vec<(&'static str, String)> {
    let params: Vec<_> = params.split_whitespace().collect();
    let consoles = consoles(&own.cmdline);
    let names_console = params.iter().any(|word| is_console(word));
    let mut words = if names_console { Vec::new() } else { consoles };
    let escaped = for_grub(&params.join(" "));
    words.extend(Some(escaped.as_str()).filter(|text| !text.is_empty()));
    let mut settings = vec![("GRUB_CMDLINE_LINUX", words.join(" "))];
    if names_console && own.cmdline_default.split_whitespace().any(is_console) {
        let rest: Vec<_> = own.cmdline_default.split_whitespace().filter(|word| !is_console(word)).collect();
        settings.push(("GRUB_CMDLINE_LINUX_DEFAULT", rest.join(" ")));
    }
    if let Some(serial) = serial(&params.join(" ")) {
        settings.push(("GRUB_TERMINAL", "console serial".into()));
        settings.push(("GRUB_SERIAL_COMMAND", serial));
    }
    settings.extend([
        ("GRUB_TIMEOUT", timeout.to_string()),
        // Ubuntu waits for ever after a boot that failed, unless this is set.
        ("GRUB_RECORDFAIL_TIMEOUT", timeout.to_string()),
        // Other systems on the disks of this machine are none of its business, and looking hangs.
        ("GRUB_DISABLE_OS_PROBER", "true".into()),
        // The root file system is found by its UUID; images for clouds fix a partition of their own.
        ("GRUB_DISABLE_LINUX_UUID", "false".into()),
        ("GRUB_FORCE_PARTUUID", String::new()),
    ]);
    settings
}

/// `text` without a block of ours.
pub fn without_block(text: &str) -> String {
    block::without(text, BEGIN, END)
}

/// `text` with a block that sets `settings` at its end.
pub fn with_block(text: &str, settings: &[(&str, String)]) -> String {
    let mut text = without_block(text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += BEGIN;
    text.push('\n');
    for (name, value) in settings {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{name}={}", quoted(value));
    }
    text + END + "\n"
}

/// The words of a kernel command line that name a console.
pub fn consoles(cmdline: &str) -> Vec<&str> {
    cmdline.split_whitespace().filter(|word| is_console(word)).collect()
}

fn is_console(word: &str) -> bool {
    word.starts_with("console=")
}

/// Kernel parameters as GRUB's script language reads them back.
///
/// Double quotes stay what they are, a group of words (`dyndbg="file x +p"`): GRUB and the kernel
/// understand them alike. One without a partner is escaped.
pub fn for_grub(params: &str) -> String {
    let paired = params.matches('"').count() / 2 * 2;
    let mut seen = 0;
    let mut text = String::new();
    for c in params.chars() {
        let group = c == '"' && seen < paired;
        seen += usize::from(c == '"');
        let inside = seen % 2 == 1 && seen <= paired;
        let special = if inside { "$\\" } else { "$\\'\";&|<>{}#" };
        if !group && special.contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// GRUB's command for the last serial line among the kernel's parameters; the same in both of its versions.
pub fn serial(params: &str) -> Option<String> {
    params.split_whitespace().rev().find_map(Serial::parse).map(|serial| serial.command())
}

/// A serial line as the kernel's `console=` names it; see `admin-guide/serial-console` of the kernel.
#[derive(Debug, PartialEq, Eq)]
struct Serial {
    unit: u32,
    speed: u32,
    parity: &'static str,
    bits: u32,
}

impl Serial {
    /// Reads `console=ttyS<unit>[,<speed>[<parity>[<bits>]]]`.
    fn parse(word: &str) -> Option<Self> {
        let (unit, options) =
            word.strip_prefix("console=ttyS").map(|s| s.split_once(',').unwrap_or((s, "")))?;
        let unit = unit.parse().ok()?;
        let digits = options.chars().take_while(char::is_ascii_digit).count();
        let (speed, rest) = options.split_at(digits);
        let mut rest = rest.chars();
        let parity = match rest.next() {
            Some('o') => "odd",
            Some('e') => "even",
            _ => "no",
        };
        let bits = rest.next().and_then(|c| c.to_digit(10)).unwrap_or(8);
        Some(Self { unit, speed: speed.parse().unwrap_or(9600), parity, bits })
    }

    fn command(&self) -> String {
        let Self { unit, speed, parity, bits } = self;
        format!("serial --unit={unit} --speed={speed} --word={bits} --parity={parity} --stop=1")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, proptest};

    use super::*;

    /// What a shell that reads `file` has in `name`.
    #[expect(clippy::disallowed_methods, reason = "a real shell is what reads the file later")]
    fn sourced(file: &str, name: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grub");
        std::fs::write(&path, file).unwrap();
        let script = format!(". \"$1\"; printf %s \"${name}\"");
        let output =
            std::process::Command::new("sh").args(["-euc", &script, "sh"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn value<'a>(settings: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
        settings.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn plain_assignments_are_read_as_a_shell_reads_them() {
        const DEBIANS: &str = "# If you change this file\nGRUB_DEFAULT=0\nGRUB_TIMEOUT=5\n\
            GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n\
            GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"\"\n\
            GRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/system-release)\"\n";
        assert_eq!(
            Own::read(&[DEBIANS.to_owned()]),
            None,
            "quotes around a substitution are left to a shell"
        );
        let plain = DEBIANS.lines().take(6).fold(String::new(), |text, line| text + line + "\n");
        let own = Own { cmdline: String::new(), cmdline_default: "quiet splash".into() };
        assert_eq!(Own::read(std::slice::from_ref(&plain)), Some(own));
        for line in [
            "GRUB_CMDLINE_LINUX='console=ttyS0,115200 a=b' # of the cloud",
            "GRUB_CMDLINE_LINUX=console=ttyS0",
            "export GRUB_CMDLINE_LINUX=\"net.ifnames=0\"",
            "GRUB_DISTRIBUTOR=$(. /etc/os-release && echo $NAME)",
        ] {
            let file = format!("{plain}{line}\n");
            let own = Own::read(std::slice::from_ref(&file)).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(own.cmdline, sourced(&file, "GRUB_CMDLINE_LINUX"), "{line}");
            assert_eq!(own.cmdline_default, sourced(&file, "GRUB_CMDLINE_LINUX_DEFAULT"), "{line}");
        }
        for line in [
            "if true; then",
            ". /etc/x",
            "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX x\"",
            "GRUB_CMDLINE_LINUX+=x",
            "GRUB_CMDLINE_LINUX=\"one",
            "GRUB_TIMEOUT=1; GRUB_CMDLINE_LINUX=x",
            "GRUB_TIMEOUT=`a` GRUB_CMDLINE_LINUX=`b`",
            "GRUB_TIMEOUT=$(a); GRUB_CMDLINE_LINUX=$(b)",
            "GRUB_TIMEOUT=1 \\",
        ] {
            assert_eq!(Own::read(&[format!("{line}\n")]), None, "{line}");
        }
    }

    #[test]
    fn what_stands_last_counts_whatever_stood_before() {
        for before in [
            "",
            "GRUB_CMDLINE_LINUX=\"old\"",
            "# it's a comment\nGRUB_CMDLINE_LINUX=\"a \\\n  b\"\nexport GRUB_CMDLINE_LINUX\n",
            "if true; then GRUB_CMDLINE_LINUX=x; fi\n",
        ] {
            let text = with_block(before, &settings("quiet a=$b", 5, &Own::default()));
            assert_eq!(sourced(&text, "GRUB_CMDLINE_LINUX"), "quiet a=\\$b", "{before}");
            assert_eq!(sourced(&text, "GRUB_TIMEOUT"), "5");
        }
    }

    #[test]
    fn the_block_is_replaced_by_the_next() {
        let image = "GRUB_TIMEOUT=0\n";
        let once = with_block(image, &settings("first", 1, &Own::default()));
        let twice = with_block(&once, &settings("second", 2, &Own::default()));
        assert_eq!(without_block(&twice), image);
        assert_eq!(twice.matches(BEGIN).count(), 1);
        assert_eq!(sourced(&twice, "GRUB_CMDLINE_LINUX"), "second");
    }

    #[test]
    fn the_images_serial_console_stays_unless_another_is_named() {
        let own = Own::parse("rd.lvm.lv=old/root console=ttyS0,115200\nquiet console=ttyS0\n");
        let kept = settings("net.ifnames=0", 5, &own);
        assert_eq!(value(&kept, "GRUB_CMDLINE_LINUX"), Some("console=ttyS0,115200 net.ifnames=0"));
        assert_eq!(value(&kept, "GRUB_CMDLINE_LINUX_DEFAULT"), None);
        assert_eq!(value(&kept, "GRUB_TERMINAL"), None);

        let named = settings("console=tty0 console=ttyS1,57600e7", 5, &own);
        assert_eq!(value(&named, "GRUB_CMDLINE_LINUX"), Some("console=tty0 console=ttyS1,57600e7"));
        assert_eq!(value(&named, "GRUB_CMDLINE_LINUX_DEFAULT"), Some("quiet"));
        assert_eq!(value(&named, "GRUB_TERMINAL"), Some("console serial"));
        assert_eq!(
            value(&named, "GRUB_SERIAL_COMMAND"),
            Some("serial --unit=1 --speed=57600 --word=7 --parity=even --stop=1")
        );
    }

    #[test]
    fn serial_lines_are_read() {
        let serial = |unit, speed, parity, bits| Some(Serial { unit, speed, parity, bits });
        for (word, read) in [
            ("console=ttyS0", serial(0, 9600, "no", 8)),
            ("console=ttyS2,115200", serial(2, 115_200, "no", 8)),
            ("console=ttyS1,9600o7r", serial(1, 9600, "odd", 7)),
            ("console=tty0", None),
            ("console=ttyS", None),
            ("console=ttyAMA0,115200", None),
        ] {
            assert_eq!(Serial::parse(word), read, "{word}");
        }
    }

    #[test]
    fn grubs_own_language_is_escaped() {
        for (params, escaped) in [
            ("ro quiet", "ro quiet"),
            ("a=$b c=\\d", "a=\\$b c=\\\\d"),
            ("dyndbg=\"file x +p; $y\" b", "dyndbg=\"file x +p; \\$y\" b"),
            ("one=\" left", "one=\\\" left"),
            ("a;b&c|d{e}'f'#", "a\\;b\\&c\\|d\\{e\\}\\'f\\'\\#"),
        ] {
            assert_eq!(for_grub(params), escaped);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_any_parameters_back(params in "[ -~äöü€]{0,60}", before in "(GRUB_CMDLINE_LINUX=\"[a-z ]*\"\n){0,2}") {
            let settings = settings(&params, 5, &Own::default());
            let wanted = for_grub(&params.split_whitespace().collect::<Vec<_>>().join(" "));
            let text = with_block(&before, &settings);
            assert_eq!(sourced(&text, "GRUB_CMDLINE_LINUX"), wanted);
        }

        #[test]
        fn taking_the_escapes_away_gives_the_parameters_back(params in "[ -~]{0,60}") {
            let mut chars = for_grub(&params).chars().collect::<Vec<_>>().into_iter();
            let mut back = String::new();
            while let Some(c) = chars.next() {
                back.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            assert_eq!(back, params);
        }
    }
}
