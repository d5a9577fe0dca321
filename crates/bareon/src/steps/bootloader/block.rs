//! A part of a configuration file that is ours, between two lines that mark it: found again at the next run, and taken
//! out as a whole.

/// `text` without what stands from the line `begin` to the line `end`, both included.
pub fn without(text: &str, begin: &str, end: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        inside |= line.trim_end() == begin;
        if !inside {
            kept.push_str(line);
        }
        inside &= line.trim_end() != end;
    }
    kept
}
