//! The names of classes and tags, and their ids.

use std::collections::HashMap;

/// The most classes of a data set, so that a column of numbers is not taken for one of classes.
pub(super) const MAX_LABELS: usize = 1 << 16;

/// Gives each name an id, in the order of appearance.
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Labels {
    /// The id of `name`, a new one for a new name; `None` when there are [`MAX_LABELS`] others.
    pub fn add(&mut self, name: &str) -> Option<u32> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = u32::try_from(self.names.len()).ok().filter(|_| self.names.len() < MAX_LABELS)?;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        Some(id)
    }

    /// The names in sorted order.
    pub fn sorted(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.sort_unstable();
        names
    }

    /// Whether there is such a name.
    pub fn contains(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    /// The names in the order of appearance; the position is the id.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// For each name of `from`, its position in `to`.
pub(super) fn positions(from: &[String], to: &[String]) -> Vec<Option<u32>> {
    let ids = to.iter().zip(0_u32..);
    let ids: HashMap<&String, u32> = ids.collect();
    from.iter().map(|name| ids.get(name).copied()).collect()
}
