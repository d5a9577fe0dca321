//! How a stage tells of its troubles, and learns that all is to stop.

/// Whom a stage tells of its troubles, and asks whether to stop.
pub trait Watch: Send + Sync {
    /// It tries again, for the `attempt`th time in a row.
    fn retried(&self, why: &str, attempt: u32);

    /// Whether to give up now.
    fn stopped(&self) -> bool;
}
