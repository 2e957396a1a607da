//! The sequences of the memory problems, each a function of a stream of random numbers.

use lstm_core::random::RandomStream;

use crate::tasks::memory::Problem;

/// A sequence and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[steps, input size]`.
    pub input: Vec<f32>,
    /// What is to be answered.
    pub answer: Answer,
}

/// What is to be answered at the end of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number, at the last step.
    Number(f32),
    /// Symbols, at as many last steps.
    Symbols(Vec<u32>),
}

impl Sample {
    /// The sample that `draws` give.
    pub fn new(problem: Problem, draws: RandomStream) -> Self {
        match problem {
            Problem::Adding { steps } => adding(steps, draws),
            Problem::Recall { lag, symbols, length } => recall(lag, symbols, length, draws),
        }
    }
}

fn adding(steps: usize, draws: RandomStream) -> Sample {
    let half = (steps / 2).max(1);
    let (first, second) = (below(draws, 0, half), half + below(draws, 1, steps - half));
    let numbers = draws.named("numbers");
    let mut input = Vec::with_capacity(2 * steps);
    let mut sum = 0.0;
    for step in 0..steps {
        let number = numbers.uniform(step as u64) as f32;
        let is_marked = step == first || step == second;
        sum += if is_marked { number } else { 0.0 };
        input.extend([number, if is_marked { 1.0 } else { 0.0 }]);
    }
    Sample { input, answer: Answer::Number(sum) }
}

fn recall(lag: usize, symbols: usize, length: usize, draws: RandomStream) -> Sample {
    let (size, blank, cue) = (symbols + 2, symbols, symbols + 1);
    let answer: Vec<u32> = (0..length).map(|k| below(draws, k as u64, symbols) as u32).collect();
    let read = answer.iter().map(|&symbol| symbol as usize);
    let read = read.chain(std::iter::repeat_n(blank, lag)).chain(std::iter::repeat_n(cue, length));
    let mut input = vec![0.0; (lag + 2 * length) * size];
    for (place, symbol) in input.chunks_exact_mut(size).zip(read) {
        place[symbol] = 1.0;
    }
    Sample { input, answer: Answer::Symbols(answer) }
}

/// Draw number `index` as a whole number below `n`, which is small beside 2⁵³.
fn below(draws: RandomStream, index: u64, n: usize) -> usize {
    ((draws.uniform(index) * n as f64) as usize).min(n.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use lstm_core::random::RandomStream;

    use super::{Answer, Sample};
    use crate::tasks::memory::Problem;

    #[test]
    fn sums_are_those_of_a_mark_in_each_half() {
        let mut squares = 0.0;
        for k in 0..2000 {
            let steps = 2 + k as usize % 9;
            let draws = RandomStream::new(1).child(k);
            let Sample { input, answer } = Sample::new(Problem::Adding { steps }, draws);
            let marked: Vec<usize> = (0..steps).filter(|step| input[2 * step + 1] == 1.0).collect();
            let [first, second] = marked[..] else { panic!("{marked:?}") };
            assert!(first < steps / 2 && second >= steps / 2, "{steps}: {marked:?}");
            let sum = input[2 * first] + input[2 * second];
            assert_eq!(answer, Answer::Number(sum));
            squares += f64::from(sum - 1.0).powi(2) / 2000.0;
        }
        assert!((squares - 1.0 / 6.0).abs() < 0.01, "{squares}");
    }

    #[test]
    fn symbols_come_first_and_are_asked_for_last() {
        let problem = Problem::Recall { lag: 3, symbols: 4, length: 2 };
        let mut counts = [0; 4];
        for k in 0..1000 {
            let Sample { input, answer } = Sample::new(problem, RandomStream::new(1).child(k));
            let read: Vec<usize> = input
                .chunks(6)
                .map(|step| {
                    assert_eq!(step.iter().sum::<f32>(), 1.0);
                    step.iter().position(|&x| x == 1.0).unwrap()
                })
                .collect();
            assert_eq!(read[2..], [4, 4, 4, 5, 5]);
            assert_eq!(answer, Answer::Symbols(read[..2].iter().map(|&s| s as u32).collect()));
            read[..2].iter().for_each(|&symbol| counts[symbol] += 1);
        }
        assert!(counts.iter().all(|count| (430..570).contains(count)), "{counts:?}");
    }
}
