//! The loop and the tasks as a user of the crate sees them.

mod runs;

mod kept;
mod language;
mod resume;
mod rules;
