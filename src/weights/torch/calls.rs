//! What a pickle's calls make of their arguments: the few things that may be asked for.

use super::globals::Global;
use super::pickle::Machine;
use super::reader::damaged;
use super::values::{Entries, Storage, Tuple, Value, View};

impl<'a> Machine<'a> {
    /// A global with arguments: makes the few things that may be asked for.
    pub(super) fn call(&mut self) -> Result<(), String> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Global(callee)) = (arguments, callee) else {
            return Err(damaged("a call of what cannot be called"));
        };
        let value = match (callee, self.made.tuple(arguments)) {
            (Global::Dict, []) => self.made.new_dict(Vec::new()),
            // As Python 2 wrote it.
            (Global::Dict, &[pairs]) => self.dict_of(pairs)?,
            (
                Global::Tensor,
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    ref rest @ ..,
                ],
            ) => {
                // After requires_grad and hooks: bits that change what the numbers mean.
                if let Some(&metadata) = rest.get(2)
                    && self.made.dict(metadata).is_some_and(|entries| !entries.is_empty())
                {
                    return Err("a tensor has metadata (a conjugate or negative view)".to_owned());
                }
                self.made.tensors.push(View { storage, offset, shape, strides });
                Value::Tensor(self.made.tensors.len() as u32 - 1)
            }
            (Global::Parameter, &[tensor @ Value::Tensor(_), ..]) => tensor,
            (Global::Plain, _) => Value::Other,
            _ => return Err(damaged("a call with arguments that do not fit")),
        };
        self.push(value)
    }

    fn dict_of(&mut self, pairs: Value<'a>) -> Result<Value<'a>, String> {
        let wrong = || damaged("a dictionary of what are not pairs");
        // Counted before they are copied: one list may be asked for again and again.
        self.charge(self.made.sequence(pairs).map_or(0, <[_]>::len))?;
        let pairs = self.made.sequence(pairs).ok_or_else(wrong)?.iter();
        let pair = |&pair: &Value<'a>| match self.made.sequence(pair) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err(wrong()),
        };
        let entries = pairs.map(pair).collect::<Result<Entries<'a>, _>>()?;
        Ok(self.made.new_dict(entries))
    }

    /// Attributes of an object: those that the known classes have are of no interest.
    pub(super) fn build(&mut self) -> Result<(), String> {
        let (state, object) = (self.pop()?, self.pop()?);
        self.push(object)?;
        match (object, state) {
            (Value::Other, _) | (Value::Dict(_), Value::Dict(_)) => Ok(()),
            // A parameter of PyTorch 0.3: (requires_grad, volatile, hooks).
            (Value::Tensor(_), Value::Tuple(Tuple { len: 3, .. })) => Ok(()),
            _ => Err(damaged("it sets attributes of what has none")),
        }
    }

    /// `("storage", type, key, location, elements)`, and None as of PyTorch before 1.6.
    pub(super) fn storage(&self, id: Value<'a>) -> Result<Storage<'a>, String> {
        let Value::Tuple(id) = id else { return Err(damaged("a persistent id that is no tuple")) };
        match *self.made.tuple(id) {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(element)),
                Value::Text(key),
                _,
                Value::Int(len),
                ref view @ ..,
            ] => match view {
                [] | [Value::Other] => Ok(Storage { key, element, len }),
                _ => Err("a storage is a view of another, as of PyTorch 0.3".to_owned()),
            },
            _ => Err(damaged("a persistent id that is not a storage's")),
        }
    }
}
