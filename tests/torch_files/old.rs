//! Layouts that no PyTorch of today writes: Python 2, parameters of PyTorch 0.3.

use crate::build::{call, dict, global, int, ints, legacy, pair_storage, storage, tensor, text};
use crate::{assert_refused, open, values};

fn short_text(text: &str) -> Vec<u8> {
    [&[b'U', text.len() as u8], text.as_bytes()].concat()
}

/// A tensor as `_rebuild_tensor` of PyTorch 0.3 made it.
fn old_tensor() -> Vec<u8> {
    let arguments = [storage("FloatStorage", "0", 2), int(0), ints(&[2]), ints(&[1])];
    call(global("torch._utils", "_rebuild_tensor"), &arguments)
}

#[test]
fn python_2_and_pytorch_0_3_are_read() {
    // Parameter(data), then its state: (requires_grad, volatile, hooks).
    let hooks = call(global("collections", "OrderedDict"), &[]);
    let state = [b"(\x88\x89".to_vec(), hooks, b"tb".to_vec()].concat();
    let parameter = call(global("torch.nn.parameter", "Parameter"), &[old_tensor()]);
    let parameter = [parameter, state].concat();
    // OrderedDict([[key, value], ...]), as Python 2 pickled it, with text of one byte a letter.
    let item =
        |key, value: Vec<u8>| [b"](".to_vec(), short_text(key), value, b"e".to_vec()].concat();
    let items =
        [b"](".to_vec(), item("weight", parameter), item("mean", old_tensor()), b"e".to_vec()];
    let state = call(global("collections", "OrderedDict"), &[items.concat()]);
    let (key, data) = pair_storage();
    let file = open(&legacy(&state, &[(key, 2, data)])).unwrap();
    let pair = vec![1.5, -2.0];
    assert_eq!(values(&file), [("weight".to_owned(), pair.clone()), ("mean".to_owned(), pair)]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (_, data) = pair_storage();
    let of = |storages: &[(&str, i64, Vec<u8>)]| {
        let weight = tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1]);
        legacy(&dict(&[("weight", weight)]), storages)
    };
    let good = of(&[("0", 2, data.clone())]);
    assert!(open(&good).is_ok());
    assert_refused(&of(&[]), &["weight", "storage 0 is missing"]);
    assert_refused(&of(&[("1", 2, data.clone())]), &["storage 1 belongs to no tensor"]);
    assert_refused(&of(&[("0", 3, data.clone())]), &["storage 0", "expected 2", "found 3"]);
    assert_refused(&of(&[("0", -1, data.clone())]), &["storage 0", "found -1"]);
    assert_refused(&of(&[("0", 2, data[..7].to_vec())]), &["cut short", "storage 0"]);
    for len in [i64::MAX, i64::MAX / 4, 1 << 62, -1] {
        let weight = tensor(storage("FloatStorage", "0", len), 0, &[2], &[1]);
        let bytes = legacy(&dict(&[("weight", weight)]), &[("0", len, data.clone())]);
        assert_refused(&bytes, &["cut short", "storage 0"]);
    }

    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|w| w == from).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to);
        bytes
    };
    let little = text("little_endian");
    let big = [&little[..], &[0x89]].concat();
    assert_refused(&replaced(&[&little[..], &[0x88]].concat(), &big), &["big-endian"]);
    assert_refused(&replaced(b"little_endian", b"litter_endian"), &["byte order"]);
    assert_refused(&replaced(b"M\xe9\x03", b"M\xea\x03"), &["version is not 1001"]);
    assert_refused(&replaced(b"l\xfc\x9cF", b"l\xfc\x9cG"), &["not one that torch.save wrote"]);
}
