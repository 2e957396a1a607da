//! Rows of a variable that are brought up to date when they are read.
//!
//! A step of Adam changes every row, also those without a gradient. For an embedding of which a batch reads
//! few rows that is most of the memory that a step touches. The rows here wait, and take the steps that
//! they have missed all at once, to the same bits.

use lstm_core::ops::adam::{self, Step};
use lstm_core::ops::rows::Rows;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// The steps that rows may still have to take.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The steps before those in `steps`.
    first: u64,
    steps: Vec<Step>,
}

impl History {
    /// Forgets everything up to step `n_steps`.
    pub(super) fn start_after(&mut self, n_steps: u64) {
        self.first = n_steps;
        self.steps.clear();
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The steps after `last`, up to and with `now`.
    fn between(&self, last: u64, now: u64) -> &[Step] {
        let at = |n_steps: u64| (n_steps.saturating_sub(self.first) as usize).min(self.steps.len());
        self.steps.get(at(last)..at(now)).unwrap_or_default()
    }
}

/// The memory of a variable and its moments, `[rows, width]` each.
pub(super) struct Table<'a> {
    pub(super) width: usize,
    pub(super) theta: &'a mut [f32],
    pub(super) moments: [&'a mut [f32]; 2],
}

/// How far each row is.
#[derive(Debug)]
pub(super) struct Lag {
    /// The last step that each row has taken.
    last: Vec<u64>,
}

impl Lag {
    /// All of `rows` rows stand at step `n_steps`.
    pub(super) fn new(rows: usize, n_steps: u64) -> Self {
        Self { last: vec![n_steps; rows] }
    }

    /// Lets all rows stand at step `n_steps`, whatever they have missed.
    pub(super) fn jump(&mut self, n_steps: u64) {
        self.last.fill(n_steps);
    }

    /// The steps up to `now` for all rows.
    pub(super) fn settle(&mut self, table: Table<'_>, history: &History, now: u64) -> Result<()> {
        let all: Vec<u32> = (0..self.last.len() as u32).collect();
        self.catch_up(table, history, now, &all)
    }

    /// The steps up to `now` for the rows `ids`, each once, ascending.
    pub(super) fn catch_up(
        &mut self,
        table: Table<'_>,
        history: &History,
        now: u64,
        ids: &[u32],
    ) -> Result<()> {
        self.pick(table, ids)?.into_par_iter().try_for_each(|row| row.catch_up(history, now))
    }

    /// The steps before `now`, then step `now` itself with `gradient`, for the rows that it has.
    pub(super) fn step(
        &mut self,
        table: Table<'_>,
        history: &History,
        now: u64,
        gradient: &Rows<f32>,
    ) -> Result<()> {
        let width = table.width;
        let rows = self.pick(table, &gradient.ids)?;
        if gradient.rows.len() != rows.len() * width {
            let expected = format!("{} rows of {width} numbers", rows.len());
            let got = format!("{} numbers", gradient.rows.len());
            return Err(Error::Invalid { op: "step of AdamW", expected, got });
        }
        let step = history.between(now - 1, now);
        let gradients = gradient.rows.par_chunks_exact(width.max(1));
        rows.into_par_iter().zip(gradients).try_for_each(|(mut row, g)| {
            row.catch_up_mut(history, now - 1)?;
            for step in step {
                let [m, v] = &mut row.moments;
                adam::step(step, row.theta, g, m, v)?;
            }
            *row.last = now;
            Ok(())
        })
    }

    /// The rows `ids`.
    fn pick<'a>(&'a mut self, table: Table<'a>, ids: &[u32]) -> Result<Vec<Row<'a>>> {
        let n_rows = self.last.len();
        let ascending = ids.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || ids.last().is_some_and(|&id| id as usize >= n_rows) {
            let expected = format!("ascending rows below {n_rows}");
            let got = format!("{} rows up to {:?}", ids.len(), ids.iter().max());
            return Err(Error::Invalid { op: "rows of AdamW", expected, got });
        }
        let Table { width, theta, moments: [m, v] } = table;
        let rows = pick(theta, width, ids).into_iter().zip(pick(m, width, ids));
        let rows = rows.zip(pick(v, width, ids)).zip(pick(&mut self.last, 1, ids));
        let rows = rows.filter_map(|(((theta, m), v), last)| {
            Some(Row { theta, moments: [m, v], last: last.first_mut()? })
        });
        Ok(rows.collect())
    }
}

struct Row<'a> {
    theta: &'a mut [f32],
    moments: [&'a mut [f32]; 2],
    last: &'a mut u64,
}

impl Row<'_> {
    fn catch_up(mut self, history: &History, now: u64) -> Result<()> {
        self.catch_up_mut(history, now)
    }

    fn catch_up_mut(&mut self, history: &History, now: u64) -> Result<()> {
        if *self.last < now {
            let [m, v] = &mut self.moments;
            adam::catch_up(history.between(*self.last, now), self.theta, m, v)?;
            *self.last = now;
        }
        Ok(())
    }
}

/// Some rows of a table, ascending and inside of it.
fn pick<'a, T>(mut table: &'a mut [T], width: usize, ids: &[u32]) -> Vec<&'a mut [T]> {
    let mut rows = Vec::with_capacity(ids.len());
    let mut passed = 0;
    for &id in ids {
        let (_, rest) = table.split_at_mut((id as usize - passed) * width);
        let (row, rest) = rest.split_at_mut(width);
        rows.push(row);
        (table, passed) = (rest, id as usize + 1);
    }
    rows
}
