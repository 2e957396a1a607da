//! The loss of one batch and the way back to every variable, embeddings by their rows.

use candle_core::{DType, Device, Tensor, Var};
use lstm_core::RowIds;
use lstm_core::graph;
use lstm_core::ops::rows::{self, Rows};
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
    factors: Option<Factors>,
}

/// Factors where the table is: numbers on the CPU, a tensor elsewhere.
#[derive(Debug, Clone)]
enum Factors {
    Numbers(Vec<f32>),
    Tensor(Tensor),
}

impl Lookup {
    /// The rows `ids` of `table`, `[n, width]`, as a tensor of `shape` (whose last dimension is the width),
    /// each number multiplied by its factor where there are any: the masks of dropout.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`], on a device [`Error::Invalid`], where an id is no row; [`Error::Lstm`] where the table is not f32;
    /// [`Error::Candle`] or [`Error::Invalid`] where sizes disagree.
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
        let factors = factors.map(Factors::Numbers);
        Ok(Self { table: table.clone(), ids, rows, row_ids: None, factors })
    }

    /// [`Lookup::new`] by candle's operations, on the table's device.
    fn elsewhere(
        table: &Tensor,
        ids: Vec<u32>,
        shape: &[usize],
        factors: Option<Vec<f32>>,
    ) -> Result<Self> {
        // Devices check no ids.
        let n_rows = table.dim(0)?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= n_rows) {
            let (expected, got) = (format!("ids below {n_rows}"), id.to_string());
            return Err(Error::Invalid { op: "look up rows", expected, got });
        }
        let mut rows = tensors::select(&table.detach(), &ids)?.reshape(shape)?;
        let factors = factors.map(|factors| Tensor::from_vec(factors, shape, table.device()));
        let factors = factors.transpose()?;
        if let Some(factors) = &factors {
            rows = rows.mul(factors)?;
        }
        if table.track_op() {
            rows = Var::from_tensor(&rows)?.into_inner();
        }
        let factors = factors.map(Factors::Tensor);
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

    /// The gradient of the whole table from that of the looked-up rows, for a table on a device.
    fn whole_gradient(&self, of_rows: &Tensor) -> Result<Tensor> {
        let of_rows = match &self.factors {
            Some(Factors::Tensor(factors)) => of_rows.mul(factors)?,
            _ => of_rows.clone(),
        };
        let of_rows = of_rows.reshape((self.ids.len(), self.table.dim(1)?))?;
        let ids = Tensor::from_slice(&self.ids, self.ids.len(), self.table.device())?;
        Ok(self.table.zeros_like()?.index_add(&ids, &of_rows, 0)?)
    }

    /// The gradient of the table's rows from that of the looked-up ones.
    fn gradient(&self, of_rows: &Tensor) -> Result<Rows<f32>> {
        let of_rows = of_rows.contiguous()?;
        let of_rows = TensorSlice::<f32>::new(&of_rows)?;
        let width = self.table.dim(1)?;
        Ok(match &self.factors {
            None => rows::sum_by_id(&self.ids, width, &of_rows)?,
            Some(Factors::Tensor(factors)) => {
                let (expected, got) = ("factors on the CPU", factors.device().location());
                let (expected, got) = (expected.to_owned(), format!("{got:?}"));
                return Err(Error::Invalid { op: "look up rows", expected, got });
            }
            Some(Factors::Numbers(factors)) => {
                let mut of_rows = of_rows.to_vec();
                multiply(&mut of_rows, factors)?;
                rows::sum_by_id(&self.ids, width, &of_rows)?
            }
        })
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
        let mut of_tables = Vec::new();
        for lookup in &self.lookups {
            if let Some(of_rows) = store.remove(&lookup.rows) {
                if !lookup.table.device().is_cpu() {
                    let whole = lookup.whole_gradient(&of_rows)?;
                    let whole = match store.get(&lookup.table) {
                        Some(before) => before.add(&whole)?,
                        None => whole,
                    };
                    store.insert(&lookup.table, whole);
                    continue;
                }
                of_tables.push((&lookup.table, lookup.gradient(&of_rows)?));
            }
        }
        let mut gradients = Gradients::from(store);
        for (table, rows) in of_tables {
            gradients.add_rows(table, rows)?;
        }
        Ok(gradients)
    }
}
