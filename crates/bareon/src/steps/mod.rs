//! What each step of a plan does.

pub mod configdrive;
