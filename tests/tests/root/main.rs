//! The built program on loop devices: what it writes is read back with the tools of the system.
//!
//! Root and loop devices are needed, so all of it is ignored unless it is asked for (`contrib/test` as
//! root does). Run so, a missing tool fails the tests: none of them passes without having looked.
//! Each test has disks of its own, which are files behind loop devices, and touches no others.

mod backup;
mod bench;
mod copyimage;
mod disk;
mod document;
mod formats;
mod images;
mod keep;
mod pack;
mod partition;
mod plan;
mod qcow2;
mod refusals;
mod signed;
mod stages;
mod stopped;
mod teardown;
