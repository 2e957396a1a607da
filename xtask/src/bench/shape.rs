//! The sizes of a workload and the passes over it, as they are written on the command line.

use std::fmt;
use std::str::FromStr;

use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::LstmConfig;

/// The workloads with names: short, deep, wide, both directions, long, large.
const NAMED: [(&str, Shape); 6] = [
    ("W1", Shape::new(128, 5, 256, 128)),
    ("W2", Shape { layers: 2, ..Shape::new(20, 20, 200, 200) }),
    ("W3", Shape { layers: 2, ..Shape::new(20, 35, 650, 650) }),
    ("W4", Shape { both: true, ..Shape::new(32, 50, 100, 200) }),
    ("W5", Shape::new(1, 1000, 128, 256)),
    ("W6", Shape::new(64, 100, 512, 1024)),
];

/// The hidden units of the single steps that are measured by default.
const STEP_SIZES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];

/// The time steps over which a carried state is compared: as `VS64` beside the `S64` that is timed.
const CARRIED_STEPS: usize = 6;

/// The most numbers that one tensor of a run may have (16 GiB of f32).
const MAX_ELEMENTS: usize = 1 << 32;

/// B rows, T steps, I input features, H hidden units, L layers, one direction or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub batch: usize,
    pub n_steps: usize,
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub both: bool,
}

/// What is timed of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pass {
    /// Forward, without recording for a gradient.
    Forward,
    /// Forward, loss = sum of the output, gradients by the input and every parameter.
    Train,
    /// One step of one row, the state going from call to call.
    Step,
}

impl Pass {
    /// The name in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
            Self::Step => "step",
        }
    }

    /// The word in requests to workers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Forward => "fwd",
            other => other.as_str(),
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Forward, Self::Train, Self::Step].into_iter().find(|pass| pass.word() == word)
    }
}

impl Shape {
    /// One layer, one direction.
    pub const fn new(batch: usize, n_steps: usize, input: usize, hidden: usize) -> Self {
        Self { batch, n_steps, input, hidden, layers: 1, both: false }
    }

    /// W1 to W6.
    pub fn sequences() -> Vec<Self> {
        NAMED.iter().map(|(_, shape)| *shape).collect()
    }

    /// S16 to S1024.
    pub fn steps() -> Vec<Self> {
        STEP_SIZES.iter().map(|&hidden| Self::new(1, 1, hidden, hidden)).collect()
    }

    /// Whether single steps can run it: one row, one layer, one direction.
    pub fn has_steps(&self) -> bool {
        self.batch == 1 && self.layers == 1 && !self.both
    }

    /// The passes that are timed where none is asked for.
    pub fn default_passes(&self) -> &'static [Pass] {
        if self.has_steps() && self.n_steps == 1 {
            &[Pass::Step]
        } else {
            &[Pass::Forward, Pass::Train]
        }
    }

    /// The workload as its workers know it: the name where it has one, otherwise the sizes.
    pub fn case(&self) -> String {
        let square = self.has_steps() && self.input == self.hidden;
        match NAMED.iter().find(|(_, shape)| shape == self) {
            Some((name, _)) => (*name).to_owned(),
            None if square && self.n_steps == 1 => format!("S{}", self.hidden),
            None if square && self.n_steps == CARRIED_STEPS => format!("VS{}", self.hidden),
            None => self.to_string(),
        }
    }

    /// The shape whose outputs are compared before `pass` is timed: several steps for a single one, so that
    /// the state they carry is compared too.
    pub fn compared(&self, pass: Pass) -> Self {
        let single = pass == Pass::Step && self.n_steps == 1;
        if single { Self { n_steps: CARRIED_STEPS, ..*self } } else { *self }
    }

    /// D, the number of directions.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.both)
    }

    /// PyTorch's module of these sizes.
    pub fn config(&self) -> StackedConfig {
        let directions = match self.both {
            true => Directions::Both(Merge::Concat),
            false => Directions::Forward,
        };
        StackedConfig::new(LstmConfig::new(self.input, self.hidden))
            .with_layers(self.layers)
            .with_directions(directions)
    }

    /// Refuses sizes that are zero or beyond any memory.
    fn checked(self) -> Option<Self> {
        let sizes = [self.batch, self.n_steps, self.input, self.hidden, self.layers];
        let product = |factors: &[usize]| {
            factors.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
        };
        let wide = self.input.max(self.hidden.checked_mul(8)?);
        let cells = product(&[self.batch, self.n_steps, wide, self.layers])?;
        let weights = product(&[wide, self.hidden.checked_mul(8)?, self.layers])?;
        let fits = cells.max(weights) <= MAX_ELEMENTS;
        (fits && !sizes.contains(&0)).then_some(self)
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some((_, shape)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Some(*shape);
        }
        let square = |n_steps, hidden: &str| {
            let hidden = hidden.parse().ok()?;
            Some(Self::new(1, n_steps, hidden, hidden))
        };
        if let Some(hidden) = text.strip_prefix("VS") {
            return square(CARRIED_STEPS, hidden);
        }
        if let Some(hidden) = text.strip_prefix('S') {
            return square(1, hidden);
        }
        let (sizes, both) = match text.strip_suffix(",bi") {
            Some(sizes) => (sizes, true),
            None => (text, false),
        };
        let sizes: Vec<usize> =
            sizes.split(',').map(|size| size.parse().ok()).collect::<Option<_>>()?;
        let [batch, n_steps, input, hidden, layers] = sizes[..] else { return None };
        Some(Self { batch, n_steps, input, hidden, layers, both })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, n_steps, input, hidden, layers, both } = self;
        let directions = if *both { ",bi" } else { "" };
        write!(f, "{batch},{n_steps},{input},{hidden},{layers}{directions}")
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).and_then(Self::checked).ok_or_else(|| {
            format!(
                "expected B,T,I,H,L or B,T,I,H,L,bi (sizes from 1 that fit in memory), W1 to W6, or S and \
                 the hidden units of a step, got {text}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn names_and_sizes_are_two_spellings_of_one_shape() {
        for (name, sizes) in [
            ("W1", "128,5,256,128,1"),
            ("W2", "20,20,200,200,2"),
            ("W4", "32,50,100,200,1,bi"),
            ("S64", "1,1,64,64,1"),
            ("VS64", "1,6,64,64,1"),
        ] {
            let shape: Shape = name.parse().unwrap();
            assert_eq!(shape.to_string(), sizes);
            assert_eq!(sizes.parse::<Shape>().unwrap(), shape);
            assert_eq!(shape.case(), name);
        }
        assert_eq!("3,5,7,6,2,bi".parse::<Shape>().unwrap().case(), "3,5,7,6,2,bi");
    }

    #[test]
    fn anything_else_is_refused_by_what_was_given() {
        let huge = "1,1,4000000000,4000000000,1";
        for text in ["", "1,2,3,4", "1,2,3,4,5,6", "1,2,x,4,5", "0,1,1,1,1", "W7", "S0", "S", huge]
        {
            let error = text.parse::<Shape>().unwrap_err();
            assert!(error.starts_with("expected B,T,I,H,L") && error.ends_with(text), "{error}");
        }
    }
}
