//! The tree: an operating system in a folder.
//!
//! [`release`] looks at the repositories, [`bootstrap`] makes the smallest tree that apt can go on with, [`apt`] says
//! what apt is told, [`install`] runs it in the tree, [`customize`] adds what the input asks for beside packages, [`initrds`] has the
//! kernels' initrds made, and [`clean`] removes all that a build leaves behind. While programs run in the tree, [`guest`] keeps it mounted and
//! services from being started.

pub mod apt;
pub mod bootstrap;
pub mod cache;
pub mod clean;
pub mod customize;
pub mod guest;
pub mod initrds;
pub mod install;
pub mod release;
mod within;

/// What a program said, for the end of a message: each line on one of its own, and of many the first and the last.
fn told(lines: &[String]) -> String {
    const FIRST: usize = 6;
    const LAST: usize = 4;
    let one = |line: &String| format!("\n    {line}");
    if lines.len() <= FIRST + LAST + 1 {
        return lines.iter().map(one).collect();
    }
    let (first, last) = (&lines[..FIRST], &lines[lines.len() - LAST..]);
    let left = format!("\n    … {} more lines, which the log has with --debug …", lines.len() - FIRST - LAST);
    first.iter().map(one).chain([left]).chain(last.iter().map(one)).collect()
}

/// The last lines of a text that say something.
fn last(text: &str) -> Vec<String> {
    const LINES: usize = 8;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// The last lines of both outputs of a program.
fn last_of_both(stdout: &str, stderr: &str) -> Vec<String> {
    [last(stdout), last(stderr)].concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_many_lines_the_first_and_the_last_are_told() {
        let lines = |count: u32| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(super::told(&lines(11)).lines().count(), 12);
        let told = super::told(&lines(100));
        assert!(told.starts_with("\n    1\n") && told.ends_with("\n    100"), "{told}");
        assert!(told.contains("\n    6\n    … 90 more lines, ") && told.contains("\n    97\n"), "{told}");
    }
}
