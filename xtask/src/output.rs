//! What commands print.

use std::fmt;
use std::io::{self, Write};

/// Prints a line on the standard output, as `println!`; the error is [`Closed`] where nobody reads it any more.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::output::line(format_args!($($words)*))
    };
}

pub(crate) use say;

/// The reader of the standard output wants no more: `head` has its lines, for example. The command ends
/// without an error.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// [`say!`], as a function.
pub fn line(words: fmt::Arguments<'_>) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{words}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::Error::new(error).context("write to the standard output"),
    })
}
