//! Words, characters or tags, and their ids.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// A one-to-one table of symbols and ids.
///
/// Given symbols come first, in their order; those that were collected follow sorted, so that the table
/// depends on the set of them only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Symbols {
    names: Vec<String>,
    ids: HashMap<String, u32>,
    unknown: Option<u32>,
}

/// How the table is written.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    symbols: Vec<String>,
    unknown: Option<String>,
}

impl From<Written> for Symbols {
    fn from(written: Written) -> Self {
        Self::new(written.symbols, written.unknown.as_deref())
    }
}

impl From<Symbols> for Written {
    fn from(symbols: Symbols) -> Self {
        let unknown = symbols.unknown.and_then(|id| symbols.name(id)).map(str::to_owned);
        Self { symbols: symbols.names, unknown }
    }
}

impl Symbols {
    /// The symbols in this order, each once; `unknown` is the one that stands for all others, if any does,
    /// and is added where it is missing.
    pub fn new(names: impl IntoIterator<Item = String>, unknown: Option<&str>) -> Self {
        let mut this = Self { names: Vec::new(), ids: HashMap::new(), unknown: None };
        for name in names {
            this.add(name);
        }
        this.unknown = unknown.map(|name| this.add(name.to_owned()));
        this
    }

    /// `first` in their order, then `collected` in sorted order.
    pub fn collect<'a>(
        first: &[&str],
        collected: impl IntoIterator<Item = &'a str>,
        unknown: Option<&str>,
    ) -> Self {
        let distinct: BTreeSet<&str> = collected.into_iter().collect();
        let names = first.iter().copied().chain(distinct);
        Self::new(names.map(str::to_owned), unknown)
    }

    fn add(&mut self, name: String) -> u32 {
        if let Some(&id) = self.ids.get(&name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.ids.insert(name.clone(), id);
        self.names.push(name);
        id
    }

    /// The id of a symbol; that of the unknown one where the table lacks it, and `None` without one.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied().or(self.unknown)
    }

    /// Whether the table has the symbol itself.
    pub fn has(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    /// The symbol with this id, or `None` when the id is not below [`len`](Self::len).
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id as usize).map(String::as_str)
    }

    /// All symbols; the position is the id.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The id of the symbol that stands for all others.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The number of symbols.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Symbols;

    #[test]
    fn collected_symbols_follow_the_given_ones_sorted() {
        let symbols = Symbols::collect(&["<eos>"], ["b", "a", "b", "<eos>"], Some("<unk>"));
        assert_eq!(symbols.names(), ["<eos>", "a", "b", "<unk>"]);
        assert_eq!(
            (symbols.id("b"), symbols.id("z"), symbols.unknown()),
            (Some(2), Some(3), Some(3))
        );
        assert!(symbols.has("a") && !symbols.has("z"));
        assert_eq!((symbols.name(1), symbols.name(4)), (Some("a"), None));
        // One that the text has is no other one.
        let symbols = Symbols::collect(&[], ["<unk>", "a"], Some("<unk>"));
        assert_eq!((symbols.len(), symbols.unknown()), (2, Some(0)));
        assert_eq!(Symbols::collect(&[], ["a"], None).id("z"), None);
    }

    #[test]
    fn a_written_table_is_read_back() {
        for unknown in [None, Some("?")] {
            let symbols = Symbols::collect(&["x"], ["b", "a"], unknown);
            let text = serde_json::to_string(&symbols).unwrap();
            assert_eq!(serde_json::from_str::<Symbols>(&text).unwrap(), symbols);
        }
    }
}
