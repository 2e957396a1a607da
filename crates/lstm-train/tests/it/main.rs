//! The loop and the tasks as a user of the crate sees them.

mod runs;

mod folders; // What a run folder holds, and what may go on there.
mod kept; // What layers keep for the backward pass.
mod language;
mod resume;
mod rules;
