//! The loss of one batch and the way back to every variable, embeddings by their rows.

use candle_core::{DType, Device, Tensor, Var};
use lstm_core::RowIds;
use lstm_core::graph;
use lstm_core::ops::rows;
use lstm_core::tensors::{self, TensorSlice};

use crate::error::{Error, Result};
use crate::gradients::Gradients;

/// Rows of a table, looked up: the start of a batch's graph.
///
/// The rows of a table that is trained are a variable of their own, where the backward pass ends; their gradients are
/// summed by id, so that no gradient of the whole table is made (on a device one is). Those of another are constants.
#[derive(Debug, Clone)]
pub struct Lookup {
    table: Tensor,
    /// Those of `rows`.
    ids: Vec<u32>,
    rows: Tensor,
    /// The row of `rows` that each cell of a sequence reads; each its own where absent.
    row_ids: Option<RowIds>,
    /// What each number of `rows` was multiplied by.
    factors: Option<Tensor>,
}

impl Lookup {
    /// The rows `ids` of `table`, `[n, width]`, as a tensor of `shape` (whose last dimension is the width),
    /// each number multiplied by its factor where there are any: the masks of dropout.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where an id is no row, or the table is not f32; [`Error::Candle`] or [`Error::Invalid`] where
    /// sizes disagree.
    pub fn new(
        table: &Tensor,
        ids: Vec<u32>,
        shape: &[usize],
        factors: Option<Vec<f32>>,
    ) -> Result<Self> {
        if !table.device().is_cpu() {
            return Self::elsewhere(table, ids, shape, factors);
        }
        let width = table.dim(1)?;
        let mut rows = rows::gather(&TensorSlice::<f32>::new(table)?, width, &ids)?;
        if let Some(factors) = &factors {
            multiply(&mut rows, factors)?;
        }
        let rows = match table.track_op() {
            true => Var::from_vec(rows, shape, &Device::Cpu)?.into_inner(),
            false => Tensor::from_vec(rows, shape, &Device::Cpu)?,
        };
        let factors = factors.map(|factors| Tensor::from_vec(factors, shape, &Device::Cpu));
        let factors = factors.transpose()?;
        Ok(Self { table: table.clone(), ids, rows, row_ids: None, factors })
    }

    /// [`Lookup::new`] by candle's operations, on the table's device.
    fn elsewhere(
        table: &Tensor,
        ids: Vec<u32>,
        shape: &[usize],
        factors: Option<Vec<f32>>,
    ) -> Result<Self> {
        check_ids("look up rows", &ids, table.dim(0)?)?;
        let mut rows = tensors::select(&table.detach(), &ids)?.reshape(shape)?;
        let factors = factors.map(|factors| Tensor::from_vec(factors, shape, table.device()));
        let factors = factors.transpose()?;
        if let Some(factors) = &factors {
            rows = rows.mul(factors)?;
        }
        if table.track_op() {
            rows = Var::from_tensor(&rows)?.into_inner();
        }
        Ok(Self { table: table.clone(), ids, rows, row_ids: None, factors })
    }

    /// The input of a sequence: the rows `ids`, `[T, B]`, of `table`.
    ///
    /// Each row is looked up once, however many cells read it, unless each cell has factors of its own.
    ///
    /// # Errors
    ///
    /// As [`Lookup::new`].
    pub fn sequence(
        table: &Tensor,
        ids: Vec<u32>,
        (n_steps, batch): (usize, usize),
        factors: Option<Vec<f32>>,
    ) -> Result<Self> {
        let width = table.dim(1)?;
        if factors.is_some() || !table.device().is_cpu() {
            return Self::new(table, ids, &[n_steps, batch, width], factors);
        }
        let (row_ids, rows) = RowIds::new(n_steps, batch, ids)?.distinct();
        let shape = [rows.len(), width];
        Ok(Self { row_ids: Some(row_ids), ..Self::new(table, rows, &shape, None)? })
    }

    /// The rows, in the shape that was asked for; of a sequence the input that [`Lookup::row_ids`] goes with.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The row that each cell of a sequence reads: [`lstm_core::SeqOptions::ids`].
    pub fn row_ids(&self) -> Option<&RowIds> {
        self.row_ids.as_ref()
    }

    /// Adds the gradient of the table, from that of the looked-up rows: of its rows alone, or on a device of all of it.
    fn add_gradient(&self, of_rows: &Tensor, to: &mut Gradients) -> Result<()> {
        let width = self.table.dim(1)?;
        let of_rows = match &self.factors {
            None => of_rows.clone(),
            Some(factors) => of_rows.mul(factors)?,
        };
        if self.table.device().is_cpu() {
            let of_rows = of_rows.contiguous()?;
            let of_rows = TensorSlice::<f32>::new(&of_rows)?;
            return to.add_rows(&self.table, rows::sum_by_id(&self.ids, width, &of_rows)?);
        }
        let of_rows = of_rows.reshape((self.ids.len(), width))?;
        let ids = Tensor::from_slice(&self.ids, self.ids.len(), self.table.device())?;
        to.add_whole(&self.table, self.table.zeros_like()?.index_add(&ids, &of_rows, 0)?)
    }
}

/// Refuses ids of which one is not below `n`; a device does not look.
pub(crate) fn check_ids(op: &'static str, ids: &[u32], n: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= n) {
        None => Ok(()),
        Some(id) => Err(lstm_core::Error::mismatch(op, "id", format!("below {n}"), id).into()),
    }
}

fn multiply(numbers: &mut [f32], factors: &[f32]) -> Result<()> {
    if numbers.len() != factors.len() {
        let (expected, got) = (format!("{} factors", numbers.len()), factors.len().to_string());
        return Err(Error::Invalid { op: "look up rows", expected, got });
    }
    numbers.iter_mut().zip(factors).for_each(|(number, factor)| *number *= factor);
    Ok(())
}

/// The loss of one batch.
#[derive(Debug)]
pub struct StepLoss {
    /// What is minimised: a scalar.
    pub loss: Tensor,
    /// What is reported: the mean loss without penalties.
    pub value: f64,
    /// The predictions that were made: words, sequences, windows.
    pub items: usize,
    /// What the learning rate is multiplied by in this step: 1 but for windows of text that are shorter or longer
    /// than the configured ones.
    pub rate: f64,
    /// The embeddings that the graph starts from.
    pub lookups: Vec<Lookup>,
}

impl StepLoss {
    /// A loss that is reported as it is minimised.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where `loss` is not a scalar.
    pub fn new(loss: Tensor, items: usize) -> Result<Self> {
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok(Self { loss, value, items, rate: 1.0, lookups: Vec::new() })
    }

    /// The same with embeddings that the graph starts from.
    pub fn with_lookups(mut self, lookups: impl IntoIterator<Item = Lookup>) -> Self {
        self.lookups.extend(lookups);
        self
    }

    /// The gradients by all variables.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where the backward pass fails.
    pub fn backward(&self) -> Result<Gradients> {
        self.backward_from(&self.loss)
    }

    /// The gradients of the sum over the batch's predictions, of which the loss is the mean.
    ///
    /// # Errors
    ///
    /// As [`StepLoss::backward`].
    pub(crate) fn backward_of_sum(&self) -> Result<Gradients> {
        self.backward_from(&(&self.loss * self.items as f64)?)
    }

    fn backward_from(&self, loss: &Tensor) -> Result<Gradients> {
        let mut store = graph::backward(loss)?;
        let of_lookups: Vec<_> = self.lookups.iter().map(|l| store.remove(&l.rows)).collect();
        let mut gradients = Gradients::from(store);
        for (lookup, of_rows) in self.lookups.iter().zip(of_lookups) {
            if let Some(of_rows) = of_rows {
                lookup.add_gradient(&of_rows, &mut gradients)?;
            }
        }
        Ok(gradients)
    }
}
