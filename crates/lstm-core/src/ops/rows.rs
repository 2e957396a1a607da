//! Rows of a table by id, and the sum of their gradients by id: an embedding, forward and backward.

use crate::{Element, Error, Result};

/// Rows of a table, each under its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<E> {
    /// The ids, each once, ascending.
    pub ids: Vec<u32>,
    /// The rows: `[ids, width]`.
    pub rows: Vec<E>,
}

/// The rows of `table`, `[n, width]`, with these ids, in their order: `[ids, width]`.
///
/// # Errors
///
/// [`Error::Mismatch`] where the table is not a whole number of rows, or an id is none of them.
///
/// ```
/// let table = [0.0, 0.5, 1.0, 1.5];
/// assert_eq!(lstm_core::ops::rows::gather(&table, 2, &[1, 0, 1])?, [1.0, 1.5, 0.0, 0.5, 1.0, 1.5]);
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn gather<E: Element>(table: &[E], width: usize, ids: &[u32]) -> Result<Vec<E>> {
    const OP: &str = "rows::gather";
    if width == 0 || !table.len().is_multiple_of(width) {
        let expected = format!("a multiple of {width}, not zero");
        return Err(Error::mismatch(OP, "length of table", expected, table.len()));
    }
    let n = table.len() / width;
    let mut rows = Vec::with_capacity(if n > 0 { ids.len() * width } else { 0 });
    for (place, &id) in ids.iter().enumerate() {
        let row = Some(id as usize).filter(|&id| id < n).map(|id| &table[id * width..][..width]);
        let Some(row) = row else {
            let expected = format!("below {n} (the rows of the table)");
            return Err(Error::mismatch(OP, format!("id at place {place}"), expected, id));
        };
        rows.extend_from_slice(row);
    }
    Ok(rows)
}

/// Adds up the rows, `[ids, width]`, that have the same id, in the order in which they stand.
///
/// # Errors
///
/// [`Error::Mismatch`] where there is not one row for each id.
///
/// ```
/// let sums = lstm_core::ops::rows::sum_by_id(&[7, 2, 7], 2, &[1.0, 1.5, 2.0, 2.5, 3.0, 3.5])?;
/// assert_eq!((sums.ids, sums.rows), (vec![2, 7], vec![2.0, 2.5, 4.0, 5.0]));
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn sum_by_id<E: Element>(ids: &[u32], width: usize, rows: &[E]) -> Result<Rows<E>> {
    Error::check("rows::sum_by_id", "length of rows", ids.len() * width, rows.len())?;
    let mut order: Vec<usize> = (0..ids.len()).collect();
    // Stable, so that equal ids stay in their order.
    order.sort_by_key(|&place| ids[place]);
    let mut sums = Rows { ids: Vec::new(), rows: Vec::new() };
    for place in order {
        let row = &rows[place * width..][..width];
        if sums.ids.last() == Some(&ids[place]) {
            let start = sums.rows.len() - width;
            sums.rows[start..].iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        } else {
            sums.ids.push(ids[place]);
            sums.rows.extend_from_slice(row);
        }
    }
    Ok(sums)
}

/// Adds rows to those of `table`, `[n, width]`, with their ids.
///
/// # Errors
///
/// [`Error::Mismatch`] where an id is no row of the table, or there is not one row for each id.
///
/// ```
/// use lstm_core::ops::rows::{Rows, scatter};
/// let mut table = [0.0, 0.5, 1.0, 1.5];
/// scatter(&mut table, 2, &Rows { ids: vec![1], rows: vec![2.0, 3.0] })?;
/// assert_eq!(table, [0.0, 0.5, 3.0, 4.5]);
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn scatter<E: Element>(table: &mut [E], width: usize, rows: &Rows<E>) -> Result<()> {
    const OP: &str = "rows::scatter";
    Error::check(OP, "length of rows", rows.ids.len() * width, rows.rows.len())?;
    let n = table.len().checked_div(width).unwrap_or(0);
    for (&id, row) in rows.ids.iter().zip(rows.rows.chunks_exact(width.max(1))) {
        let place = table.get_mut(id as usize * width..).and_then(|rest| rest.get_mut(..width));
        let Some(place) = place else {
            let expected = format!("below {n} (the rows of the table)");
            return Err(Error::mismatch(OP, "id", expected, id));
        };
        place.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{gather, sum_by_id};

    #[test]
    fn wrong_sizes_and_ids_are_refused() {
        assert!(gather(&[0.0_f32; 5], 2, &[0]).is_err());
        assert!(gather(&[0.0_f32; 4], 0, &[0]).is_err());
        assert!(gather::<f32>(&[], usize::MAX, &[0]).is_err());
        let error = gather(&[0.0_f32; 4], 2, &[0, 2]).unwrap_err().to_string();
        assert!(error.contains("place 1") && error.contains("below 2"), "{error}");
        assert!(sum_by_id(&[0, 1], 2, &[0.0_f32; 3]).is_err());
        assert!(sum_by_id::<f32>(&[], 2, &[]).unwrap().ids.is_empty());
    }
}
