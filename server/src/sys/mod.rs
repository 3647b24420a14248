//! What only the operating system can give: the server's whole unsafe code.
#![allow(unsafe_code)]

mod cgroup;
pub(crate) mod cores;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod usage;
