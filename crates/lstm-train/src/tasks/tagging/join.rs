//! From words and spellings to a padded batch of sentences, and from a padded batch back to words: copies, each
//! one node of the graph.

use candle_core::{Device, Tensor};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};

use crate::error::{Error, Result};

/// Where the words of a batch stand in its padded form, `[T, B]`, in the order of words.
#[derive(Debug, Clone)]
pub(super) struct Places {
    n_steps: usize,
    n_rows: usize,
    places: Vec<usize>,
}

impl Places {
    /// The places of sentences of these lengths in a batch of `n_steps` steps, as many as the longest has.
    pub fn new(lengths: &[usize], n_steps: usize) -> Self {
        let n_rows = lengths.len();
        let row = |(row, &len): (usize, &usize)| (0..len).map(move |step| step * n_rows + row);
        Self { n_steps, n_rows, places: lengths.iter().enumerate().flat_map(row).collect() }
    }
}

/// The features of every word in their places, `[T, B, E + 2C]`: its own, then its spelling's of both
/// directions; zero for padding.
///
/// - `words`: `[n, E]`;
/// - `spelt`: for each group of spellings the last states, `[2, U, C]`;
/// - `spellings`: for each word, which spelling, counted over all groups.
pub(super) fn join(
    words: &Tensor,
    spelt: &[Tensor],
    spellings: &[u32],
    places: &Places,
) -> Result<Tensor> {
    let (n, width) = words.dims2()?;
    let mut sizes = Vec::with_capacity(spelt.len());
    for group in spelt {
        let (directions, n_spellings, hidden) = group.dims3()?;
        sizes.push((n_spellings, hidden));
        same("directions of a spelling", 2, directions)?;
    }
    let hidden = sizes.first().map_or(0, |&(_, hidden)| hidden);
    same("words", n, spellings.len())?;
    same("words", n, places.places.len())?;
    let node =
        Join { width, hidden, sources: sources(spellings, &sizes)?, sizes, places: places.clone() };
    let inputs: Vec<Tensor> = [words]
        .into_iter()
        .chain(spelt)
        .map(Tensor::contiguous)
        .collect::<candle_core::Result<_>>()?;
    let features = node.features();
    let mut padded = vec![0.0; places.n_steps * places.n_rows * features];
    {
        let numbers: Vec<_> =
            inputs.iter().map(TensorSlice::<f32>::new).collect::<lstm_core::Result<_>>()?;
        for (word, (&place, source)) in places.places.iter().zip(&node.sources).enumerate() {
            let to = &mut padded[place * features..][..features];
            to[..width].copy_from_slice(&numbers[0][word * width..][..width]);
            for (direction, to) in to[width..].chunks_mut(hidden.max(1)).enumerate() {
                let from = node.row(*source, direction);
                to.copy_from_slice(&numbers[source.group + 1][from..][..hidden]);
            }
        }
    }
    let shape = (places.n_steps, places.n_rows, features);
    one(graph::record(
        "join words",
        &inputs.iter().collect::<Vec<_>>(),
        vec![tensors::storage(padded, shape)],
        node,
    )?)
}

/// A group of spellings and a row of it.
#[derive(Debug, Clone, Copy)]
struct Source {
    group: usize,
    row: usize,
}

/// Finds the group and row of spellings that are counted over all groups.
fn sources(spellings: &[u32], sizes: &[(usize, usize)]) -> Result<Vec<Source>> {
    let all = sizes.iter().enumerate();
    let all: Vec<Source> =
        all.flat_map(|(group, &(n, _))| (0..n).map(move |row| Source { group, row })).collect();
    let source = |&spelling: &u32| {
        all.get(spelling as usize).copied().ok_or_else(|| Error::Invalid {
            op: JOIN,
            expected: format!("a spelling below {}", all.len()),
            got: spelling.to_string(),
        })
    };
    spellings.iter().map(source).collect()
}

const JOIN: &str = "join words";

fn same(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Invalid { op: JOIN, expected: format!("{expected} {what}"), got: got.to_string() })
}

struct Join {
    width: usize,
    hidden: usize,
    sizes: Vec<(usize, usize)>,
    sources: Vec<Source>,
    places: Places,
}

impl Join {
    fn features(&self) -> usize {
        self.width + 2 * self.hidden
    }

    /// Where the state of a direction begins in its group.
    fn row(&self, source: Source, direction: usize) -> usize {
        (direction * self.sizes[source.group].0 + source.row) * self.hidden
    }
}

impl Backward for Join {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_padded)) = grads.first() else {
            return Ok(vec![None; self.sizes.len() + 1]);
        };
        let of_padded = of_padded.contiguous()?;
        let of_padded = TensorSlice::<f32>::new(&of_padded)?;
        let (width, hidden, features) = (self.width, self.hidden, self.features());
        let mut of_words = Vec::with_capacity(self.places.places.len() * width);
        let room = |&(n, hidden): &(usize, usize)| vec![0.0; 2 * n * hidden];
        let mut of_spelt: Vec<Vec<f32>> = self.sizes.iter().map(room).collect();
        for (&place, source) in self.places.places.iter().zip(&self.sources) {
            let from = &of_padded[place * features..][..features];
            of_words.extend_from_slice(&from[..width]);
            for (direction, from) in from[width..].chunks(hidden.max(1)).enumerate() {
                let to = &mut of_spelt[source.group][self.row(*source, direction)..][..hidden];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        let n = self.places.places.len();
        let mut gradients = vec![Some(Tensor::from_vec(of_words, (n, width), &Device::Cpu)?)];
        for (of_group, &(n, hidden)) in of_spelt.into_iter().zip(&self.sizes) {
            gradients.push(Some(Tensor::from_vec(of_group, (2, n, hidden), &Device::Cpu)?));
        }
        Ok(gradients)
    }
}

/// The rows of a padded batch, `[T, B, F]`, that are words: `[n, F]`, in the order of words.
pub(super) fn words_of(padded: &Tensor, places: &Places) -> Result<Tensor> {
    let (n_steps, n_rows, features) = padded.dims3()?;
    same("steps", places.n_steps, n_steps)?;
    same("sentences", places.n_rows, n_rows)?;
    let padded = padded.contiguous()?;
    let n = places.places.len();
    let mut words = Vec::with_capacity(n * features);
    {
        let numbers = TensorSlice::<f32>::new(&padded)?;
        for &place in &places.places {
            words.extend_from_slice(&numbers[place * features..][..features]);
        }
    }
    let outputs = vec![tensors::storage(words, (n, features))];
    let node = WordsOf { features, places: places.clone() };
    one(graph::record("words of a batch", &[&padded], outputs, node)?)
}

struct WordsOf {
    features: usize,
    places: Places,
}

impl Backward for WordsOf {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_words)) = grads.first() else { return Ok(vec![None]) };
        let of_words = of_words.contiguous()?;
        let of_words = TensorSlice::<f32>::new(&of_words)?;
        let Places { n_steps, n_rows, places } = &self.places;
        let mut of_padded = vec![0.0; n_steps * n_rows * self.features];
        for (&place, from) in places.iter().zip(of_words.chunks(self.features.max(1))) {
            of_padded[place * self.features..][..self.features].copy_from_slice(from);
        }
        let shape = (*n_steps, *n_rows, self.features);
        Ok(vec![Some(Tensor::from_vec(of_padded, shape, &Device::Cpu)?)])
    }
}

fn one(mut recorded: Vec<Tensor>) -> Result<Tensor> {
    recorded.pop().ok_or_else(|| Error::Invalid {
        op: JOIN,
        expected: "one output".to_owned(),
        got: "none".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::{Places, join, words_of};

    fn wave(shape: &[usize], shift: f64) -> Result<Var> {
        let numbers = (0..shape.iter().product()).map(|k| (k as f64 * 0.7 + shift).sin() as f32);
        Var::from_vec(numbers.collect::<Vec<_>>(), shape, &Device::Cpu)
    }

    #[test]
    fn values_and_gradients_equal_those_of_candles_own_operations() -> Result<()> {
        // Sentences of two and of three words; three spellings in two groups.
        let places = Places::new(&[2, 3], 3);
        let spellings = [2, 0, 1, 2, 2];
        let (words, one, two) =
            (wave(&[5, 4], 0.0)?, wave(&[2, 2, 3], 1.0)?, wave(&[2, 1, 3], 2.0)?);
        let spelt = [one.as_tensor().clone(), two.as_tensor().clone()];
        let joined = join(&words, &spelt, &spellings, &places).unwrap();
        let states = Tensor::cat(&spelt, 1)?;
        let ids = Tensor::new(&spellings, &Device::Cpu)?;
        let of_words = [states.get(0)?, states.get(1)?].map(|s| s.index_select(&ids, 0));
        let [forward, reverse] = of_words;
        let expected = Tensor::cat(&[words.as_tensor().clone(), forward?, reverse?], 1)?;
        let zero = Tensor::zeros((1, 10), candle_core::DType::F32, &Device::Cpu)?;
        let rows = [0, 2, 1, 3, 5, 4].map(|k| match k {
            5 => Ok(zero.clone()),
            k => expected.narrow(0, k, 1),
        });
        let rows: Vec<Tensor> = rows.into_iter().collect::<Result<_>>()?;
        let padded = Tensor::cat(&rows, 0)?.reshape((3, 2, 10))?;
        let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        assert_eq!(numbers(&joined)?, numbers(&padded)?);
        let weight = wave(&[3, 2, 10], 3.0)?.detach();
        let ours = words_of(&joined.mul(&weight)?, &places).unwrap();
        let rows = [0, 2, 1, 3, 5].map(|k| padded.mul(&weight)?.flatten_to(1)?.narrow(0, k, 1));
        let rows: Vec<Tensor> = rows.into_iter().collect::<Result<_>>()?;
        let theirs = Tensor::cat(&[&rows[0], &rows[1], &rows[2], &rows[3], &rows[4]], 0)?;
        assert_eq!(ours.dims(), [5, 10]);
        assert_eq!(numbers(&ours)?, numbers(&theirs)?);
        let (ours, theirs) =
            (ours.sqr()?.sum_all()?.backward()?, theirs.sqr()?.sum_all()?.backward()?);
        for var in [&words, &one, &two] {
            let (ours, theirs) = (ours.get(var).unwrap(), theirs.get(var).unwrap());
            assert_eq!(ours.dims(), theirs.dims());
            for (ours, theirs) in numbers(ours)?.iter().zip(numbers(theirs)?) {
                assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let places = Places::new(&[2, 1], 2);
        let (words, spelt) = (wave(&[3, 4], 0.0)?, [wave(&[2, 2, 3], 1.0)?.as_tensor().clone()]);
        assert!(join(&words, &spelt, &[0, 1, 1], &places).is_ok());
        assert!(join(&words, &spelt, &[0, 1, 2], &places).is_err());
        assert!(join(&words, &spelt, &[0, 1], &places).is_err());
        assert!(join(&words.narrow(0, 0, 2)?, &spelt, &[0, 1], &places).is_err());
        assert!(join(&words, &[spelt[0].narrow(0, 0, 1)?], &[0, 1, 1], &places).is_err());
        assert!(words_of(wave(&[2, 3, 4], 0.0)?.as_tensor(), &places).is_err());
        Ok(())
    }
}
