//! The run, top to bottom: [`run`] is its table of contents, and each chapter is a file.

pub mod begin;
pub mod build;
pub mod catch_up;
pub mod checkpoint;
pub mod conflicts;
pub mod copy;
pub mod cutover;
pub mod done;
pub mod hold;
pub mod idle_table;
pub mod keyset;
pub mod listen;
pub mod marks;
pub mod native;
pub mod planning;
pub mod prove;
pub mod refresh;
pub mod rehearse;
pub mod resume;
pub mod reversible;
pub mod revert;
pub mod run;
pub mod state;
pub mod verify;
pub mod wait;
