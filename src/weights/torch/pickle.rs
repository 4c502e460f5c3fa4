//! A pickle run on a machine that can make tensors and plain containers, and nothing else.
//!
//! It takes at most some tens of bytes of memory an operation, and the number of operations is
//! limited.

use std::cmp::Ordering;

use super::globals::global;
use super::opcodes as op;
use super::reader::{Reader, damaged, utf8};
use super::values::{Pickle, Tuple, Value};

/// Operations that one pickle may take: three times those of a ResNet-1202.
const MAX_OPERATIONS: usize = 3 << 18;
/// Values that may wait to become parts of containers.
const MAX_STACK: usize = 1 << 17;

/// Runs the pickle at the start of `bytes`.
///
/// # Errors
/// The pickle is damaged, asks for what is neither tensor nor plain container, or is too long.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        reader: Reader { bytes, at: 0 },
        operations: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        made: Pickle::default(),
    };
    while !machine.step()? {}
    machine.made.root = machine.pop()?;
    machine.made.len = machine.reader.at;
    Ok(machine.made)
}

/// A pickle while it runs.
pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    operations: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: Vec<Value<'a>>,
    pub(super) made: Pickle<'a>,
}

impl<'a> Machine<'a> {
    /// Runs one operation; true if it was the last.
    fn step(&mut self) -> Result<bool, String> {
        self.charge(1)?;
        let at = self.reader.at;
        match self.reader.byte()? {
            op::PROTO => match self.reader.byte()? {
                2..=5 => {}
                other => return Err(format!("pickle protocol {other}; 2 to 5 are known")),
            },
            // The length of what follows, for readers that want to buffer it.
            op::FRAME => drop(self.reader.take(8)?),
            op::STOP => return Ok(true),
            op::MARK => {
                if self.marks.len() == MAX_STACK {
                    return Err(too_deep());
                }
                self.marks.push(self.stack.len());
            }

            op::NONE => self.push(Value::Other)?,
            op::NEWTRUE => self.push(Value::Bool(true))?,
            op::NEWFALSE => self.push(Value::Bool(false))?,
            op::BININT1 => {
                let value = self.reader.byte()?;
                self.push(Value::Int(value.into()))?;
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.reader.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::BININT => {
                let value = i32::from_le_bytes(self.reader.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::LONG1 => {
                let len = self.reader.byte()?;
                let value = long(self.reader.take(len.into())?);
                self.push(value)?;
            }
            op::BINFLOAT => {
                self.reader.take(8)?;
                self.push(Value::Other)?;
            }

            op::SHORT_BINUNICODE => self.text::<1>()?,
            op::BINUNICODE => self.text::<4>()?,
            op::BINUNICODE8 => self.text::<8>()?,
            op::SHORT_BINSTRING => self.python2_text::<1>()?,
            op::BINSTRING => self.python2_text::<4>()?,
            op::SHORT_BINBYTES => self.python_bytes::<1>()?,
            op::BINBYTES => self.python_bytes::<4>()?,
            op::BINBYTES8 => self.python_bytes::<8>()?,

            op::EMPTY_TUPLE => self.tuple(self.stack.len())?,
            op::TUPLE1 => self.tuple_of(1)?,
            op::TUPLE2 => self.tuple_of(2)?,
            op::TUPLE3 => self.tuple_of(3)?,
            op::TUPLE => {
                let start = self.mark()?;
                self.tuple(start)?;
            }
            op::EMPTY_LIST => {
                let list = self.made.new_list();
                self.push(list)?;
            }
            op::EMPTY_DICT => {
                let dict = self.made.new_dict(Vec::new());
                self.push(dict)?;
            }
            op::APPEND => {
                let item = self.pop()?;
                let list = self.list()?;
                self.made.lists[list].push(item);
            }
            op::APPENDS => {
                let start = self.mark()?;
                let items = self.stack.split_off(start);
                let list = self.list()?;
                self.made.lists[list].extend(items);
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            op::SETITEMS => {
                let start = self.mark()?;
                let items = self.stack.split_off(start);
                self.set_items(&items)?;
            }
            op::EMPTY_SET => self.push(Value::Other)?,
            op::ADDITEMS => {
                let start = self.mark()?;
                self.stack.truncate(start);
            }
            op::FROZENSET => {
                let start = self.mark()?;
                self.stack.truncate(start);
                self.push(Value::Other)?;
            }

            op::BINGET => {
                let index = self.reader.byte()?;
                self.get(index.into())?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.reader.array()?);
                self.get(index as usize)?;
            }
            op::BINPUT => {
                let index = self.reader.byte()?;
                self.put(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.reader.array()?);
                self.put(index as usize)?;
            }
            op::MEMOIZE => self.put(self.memo.len())?,

            op::GLOBAL => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                self.push(Value::Global(global(module, name)?))?;
            }
            op::STACK_GLOBAL => {
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err(damaged("a name that is not text"));
                };
                self.push(Value::Global(global(module, name)?))?;
            }
            op::REDUCE | op::NEWOBJ => self.call()?,
            op::BUILD => self.build()?,
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.made.storages.push(storage);
                self.push(Value::Storage(self.made.storages.len() - 1))?;
            }
            opcode => {
                if opcode == op::INST {
                    global(self.reader.line()?, self.reader.line()?)?;
                }
                return Err(format!(
                    "byte {at} of the pickle is opcode {opcode:#04x}, which torch.save never writes"
                ));
            }
        }
        Ok(false)
    }

    /// Counts work against the limit.
    pub(super) fn charge(&mut self, operations: usize) -> Result<(), String> {
        self.operations += operations;
        if self.operations > MAX_OPERATIONS {
            return Err(format!("the pickle takes more than {MAX_OPERATIONS} operations"));
        }
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Result<(), String> {
        let text = utf8(self.reader.counted::<N>()?)?;
        self.push(Value::Text(text))
    }

    fn python2_text<const N: usize>(&mut self) -> Result<(), String> {
        let bytes = self.reader.counted::<N>()?;
        self.push(str::from_utf8(bytes).map_or(Value::Other, Value::Text))
    }

    fn python_bytes<const N: usize>(&mut self) -> Result<(), String> {
        self.reader.counted::<N>()?;
        self.push(Value::Other)
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        if self.stack.len() == MAX_STACK {
            return Err(too_deep());
        }
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Value<'a>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.ok_or_else(|| damaged("a value is missing"))
    }

    /// Removes the last mark, and gives the height of the stack then.
    fn mark(&mut self) -> Result<usize, String> {
        self.marks.pop().ok_or_else(|| damaged("a mark is missing"))
    }

    /// Makes a tuple of the values from `start` up.
    fn tuple(&mut self, start: usize) -> Result<(), String> {
        let items = self.stack.drain(start..);
        let tuple = Tuple { start: self.made.items.len() as u32, len: items.len() as u32 };
        self.made.items.extend(items);
        self.push(Value::Tuple(tuple))
    }

    fn tuple_of(&mut self, len: usize) -> Result<(), String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(len).filter(|&start| start >= floor);
        self.tuple(start.ok_or_else(|| damaged("a value is missing"))?)
    }

    /// The list on top of the stack.
    fn list(&mut self) -> Result<usize, String> {
        let list = self.pop()?;
        self.push(list)?;
        match list {
            Value::List(list) => Ok(list),
            _ => Err(damaged("items are appended to what is not a list")),
        }
    }

    /// Sets keys and values, by turns, in the dictionary on top of the stack.
    fn set_items(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(damaged("a key without a value"));
        };
        let target = self.pop()?;
        self.push(target)?;
        match target {
            Value::Dict(dict) => {
                self.made.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            // A defaultdict.
            Value::Other => Ok(()),
            _ => Err(damaged("entries are set in what is not a dictionary")),
        }
    }

    fn get(&mut self, index: usize) -> Result<(), String> {
        let value = self.memo.get(index).copied();
        self.push(value.ok_or_else(|| damaged("it recalls what it never put"))?)
    }

    /// Remembers the value on top of the stack; the indices of picklers run from zero.
    fn put(&mut self, index: usize) -> Result<(), String> {
        let value = self.pop()?;
        self.push(value)?;
        match index.cmp(&self.memo.len()) {
            Ordering::Less => self.memo[index] = value,
            Ordering::Equal => self.memo.push(value),
            Ordering::Greater => return Err(damaged("its memo has gaps")),
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("the pickle has more than {MAX_STACK} values waiting")
}

/// A little-endian integer in two's complement.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > size_of::<i64>() {
        return Value::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut value = [if negative { 0xff } else { 0 }; 8];
    value[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(value))
}
