//! bareon installs operating systems on bare metal by writing images.
//!
//! input document → data driver → objects → plan → steps → host
//!
//! A [driver](drivers) turns one input format into [objects]; the planner turns objects and the
//! machine's [hardware] into a [plan], an ordered list of typed [steps] in which everything that
//! can be refused has been refused; the executor runs that plan through `bareon-host` (OS tools)
//! and `bareon-image` (image streams). Dependencies point down this list: app → [run] → plan → steps →
//! drivers → hardware, objects. A step's data stands beside the code that does it, so the plan knows the steps and
//! not the other way round. The [cli] calls the [app] through a function that `main` hands it, and gives it a context
//! to tell of its work: log, report, progress.

pub mod app;
pub mod audit;
pub mod build;
mod chain;
pub mod cli;
mod digest;
pub mod drivers;
pub mod hardware;
pub mod image_keys;
pub mod input;
pub mod objects;
pub mod plan;
pub mod run;
pub mod steps;
