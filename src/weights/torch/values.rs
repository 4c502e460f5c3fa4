//! What a pickle makes: values, and the tables of containers that they refer to.
//!
//! Values are small and copied; containers are indices. So a container may be shared, nested or
//! recursive at will without recursion or copies here, and text is borrowed from the file.

use super::globals::{Element, Global};

/// A value that a pickle made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits: its bytes, little-endian.
    Long(&'a [u8]),
    Text(&'a str),
    Tuple(Tuple),
    List(usize),
    Dict(usize),
    Global(Global),
    /// Index in [`Pickle::storages`].
    Storage(usize),
    Tensor(Tensor),
    /// Anything that no weights are in: None, fractions, bytes, sets, arguments of scripts.
    #[default]
    Other,
}

/// Where the items of a tuple are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuple {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Index in [`Pickle::tensors`].
pub(super) type Tensor = u32;

/// A view of a storage, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Index in [`Pickle::storages`].
    pub(super) storage: usize,
    /// Its first element.
    pub(super) offset: i64,
    pub(super) shape: Tuple,
    /// In elements.
    pub(super) strides: Tuple,
}

/// A storage that the pickle mentions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: &'static Element,
    /// Elements.
    pub(super) len: i64,
}

/// Keys and values of a dictionary, in order.
pub(super) type Entries<'a> = Vec<(Value<'a>, Value<'a>)>;

/// What a pickle made.
#[derive(Default)]
pub(super) struct Pickle<'a> {
    /// Its result.
    pub(super) root: Value<'a>,
    /// All storages mentioned; those that are shared, repeatedly.
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<View>,
    /// Items of all tuples.
    pub(super) items: Vec<Value<'a>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Entries<'a>>,
    /// Bytes it took.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn tuple(&self, Tuple { start, len }: Tuple) -> &[Value<'a>] {
        &self.items[start as usize..][..len as usize]
    }

    /// The items of a list or a tuple.
    pub(super) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Tuple(tuple) => Some(self.tuple(tuple)),
            Value::List(list) => Some(&self.lists[list]),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Dict(dict) => Some(&self.dicts[dict]),
            _ => None,
        }
    }

    /// The value of `key` in a dictionary.
    pub(super) fn get(&self, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
        let entries = self.dict(dict)?.iter().rev();
        entries.copied().find_map(|(k, v)| matches!(k, Value::Text(k) if k == key).then_some(v))
    }

    pub(super) fn view(&self, tensor: Tensor) -> View {
        self.tensors[tensor as usize]
    }

    pub(super) fn new_dict(&mut self, entries: Entries<'a>) -> Value<'a> {
        self.dicts.push(entries);
        Value::Dict(self.dicts.len() - 1)
    }

    pub(super) fn new_list(&mut self) -> Value<'a> {
        self.lists.push(Vec::new());
        Value::List(self.lists.len() - 1)
    }
}
