//! What a pickle may ask for by name, and what that is to us. Nothing of it is ever run.

use super::shown;

/// The type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// As safetensors calls it.
    pub(super) name: &'static str,
    /// Bytes of one.
    pub(super) size: usize,
}

/// Something that a pickle may call or mention.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    /// An empty dictionary, or one of the pairs given.
    Dict,
    /// A tensor from (storage, offset, shape, strides, ...).
    Tensor,
    /// A tensor from (tensor, ...).
    Parameter,
    /// The type of a storage, which a persistent id mentions.
    Storage(&'static Element),
    /// Makes a value that no weights are in.
    Plain,
}

/// What `module.name` is to us.
///
/// # Errors
/// It is neither a tensor nor a plain container.
pub(super) fn global(module: &str, name: &str) -> Result<Global, String> {
    let known = match (module, name) {
        ("collections", "OrderedDict") => Some(Global::Dict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Global::Tensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter") => Some(Global::Parameter),
        ("torch", "Size" | "device" | "float16" | "bfloat16" | "float32" | "float64" | "int64") => {
            Some(Global::Plain)
        }
        ("torch", name) => {
            let known = STORAGES.iter().find(|(storage, _)| *storage == name);
            known.map(|(_, element)| Global::Storage(element))
        }
        // What training scripts keep beside the weights: arguments, schedules, the best accuracy as
        // a NumPy number.
        ("collections", "Counter" | "defaultdict")
        | ("builtins" | "__builtin__", "set" | "frozenset" | "dict" | "list" | "int" | "float")
        | ("argparse", "Namespace")
        | ("numpy", "dtype" | "ndarray")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("_codecs", "encode") => Some(Global::Plain),
        _ => None,
    };
    known.ok_or_else(|| {
        let of_model = ["torch.nn", "models", "resnet"].iter().any(|part| module.contains(part));
        let hint =
            if of_model { " (for a whole model, save its state_dict() instead)" } else { "" };
        let (module, name) = (shown(module), shown(name));
        format!(
            "the pickle asks for {module}.{name}, which is not a tensor or a plain container{hint}"
        )
    })
}

/// The storages of PyTorch, by their names in the module `torch`.
static STORAGES: [(&str, Element); 10] = [
    ("FloatStorage", Element { name: "F32", size: 4 }),
    ("HalfStorage", Element { name: "F16", size: 2 }),
    ("BFloat16Storage", Element { name: "BF16", size: 2 }),
    ("DoubleStorage", Element { name: "F64", size: 8 }),
    ("LongStorage", Element { name: "I64", size: 8 }),
    ("IntStorage", Element { name: "I32", size: 4 }),
    ("ShortStorage", Element { name: "I16", size: 2 }),
    ("CharStorage", Element { name: "I8", size: 1 }),
    ("ByteStorage", Element { name: "U8", size: 1 }),
    ("BoolStorage", Element { name: "BOOL", size: 1 }),
];
