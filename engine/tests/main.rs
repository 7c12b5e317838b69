//! The store as its users see it, on the simulated file system.

mod backup;
mod chain;
mod corpus;
mod crash;
mod damage;
mod differential;
mod doctored;
mod faults;
mod history;
mod kill;
mod metamorphic;
mod model;
mod planted;
mod proof;
mod script;
mod threads;
mod transfer;
