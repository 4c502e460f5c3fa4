//! Pickles that ask for what they must not have, or for more than there is.

use crate::build::{
    call, dict, global, int, ints, legacy, pair, pair_storage, pickle, storage, tensor, text,
    tuple, zip,
};
use crate::{assert_refused, open};

/// Refused in both layouts, beside a tensor that would be fine, and as a pickle by itself.
#[track_caller]
fn refused(value: &[u8], parts: &[&str]) {
    let beside = dict(&[("weight", pair()), ("other", value.to_vec())]);
    let (key, data) = pair_storage();
    assert_refused(&zip(&beside, &[pair_storage()]), parts);
    assert_refused(&legacy(&beside, &[(key, 2, data)]), parts);
    assert_refused(&zip(value, &[]), parts);
    assert_refused(&[&pickle(value)[..], &[b' '; 8]].concat(), parts);
}

fn stack_global(module: &str, name: &str) -> Vec<u8> {
    [text(module), text(name), vec![0x93]].concat()
}

#[test]
fn what_is_asked_for_is_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch", "FloatTensor"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy"),
        ("torch.hub", "load"),
        ("collections", "OrderedDict.__init__"),
        ("collections.abc", "OrderedDict"),
        ("torch._utils", " _rebuild_tensor_v2"),
        ("Torch", "FloatStorage"),
        ("", ""),
        ("torchvision.models.resnet", "ResNet"),
    ] {
        let asks = format!("asks for {module}.{name}, which is not a tensor or a plain container");
        for callee in [global(module, name), stack_global(module, name)] {
            refused(&callee, &[&asks]);
            refused(&call(callee.clone(), &[text("echo")]), &[&asks]);
            // NEWOBJ, and OBJ with a mark before.
            refused(&[callee.clone(), b")\x81".to_vec()].concat(), &[&asks]);
            refused(&[b"(".to_vec(), callee, b"o".to_vec()].concat(), &[&asks]);
        }
        refused(format!("(X\x04\0\0\0echoi{module}\n{name}\n").as_bytes(), &[&asks]);
    }
    // A name cannot be put together from pieces that are fine, nor hide in line ends or length.
    refused(&stack_global("collections\nOrderedDict\ncos", "system"), &["asks for collections\\n"]);
    refused(&stack_global(&"o".repeat(100_000), "system"), &["asks for ooo", " ....system"]);
    refused(&[text("os"), int(1), vec![0x93]].concat(), &["a name that is not text"]);
    refused(&stack_global("os\u{202e}", "\u{1b}[2Jsystem"), &["os\\u{202e}.\\u{1b}[2Jsystem"]);
}

#[test]
fn known_things_cannot_be_abused() {
    let ordered = || global("collections", "OrderedDict");
    let plain = call(global("argparse", "Namespace"), &[]);
    for (value, part) in [
        // Calling what a call has made, or text.
        (call(plain, &[]), "a call of what cannot be called"),
        (call(text("os.system"), &[]), "a call of what cannot be called"),
        ([ordered(), text("x"), b"R".to_vec()].concat(), "a call of what cannot be called"),
        (call(ordered(), &[int(1)]), "not pairs"),
        (call(ordered(), &[b"]".to_vec(), b"]".to_vec()]), "arguments that do not fit"),
        (call(global("torch._utils", "_rebuild_parameter"), &[int(1)]), "arguments"),
        (call(global("torch._utils", "_rebuild_tensor_v2"), &[text("x")]), "arguments"),
        // A state for what has none: __setstate__ of a global, a list, a tensor.
        ([ordered(), dict(&[]), b"b".to_vec()].concat(), "sets attributes"),
        ([b"]".to_vec(), dict(&[("append", int(1))]), b"b".to_vec()].concat(), "sets attributes"),
        ([pair(), dict(&[("data", int(1))]), b"b".to_vec()].concat(), "sets attributes"),
        // Things that torch.save never writes.
        (b"\x82\x01".to_vec(), "opcode 0x82"),
        (b"Pos.system\n".to_vec(), "opcode 0x50"),
        (b"I01\n".to_vec(), "opcode 0x49"),
        ([ordered(), b")}\x92".to_vec()].concat(), "opcode 0x92"),
        // Stack and memo.
        (b"R".to_vec(), "a value is missing"),
        (b"0".to_vec(), "opcode 0x30"),
        (b"K\x01(a".to_vec(), "a value is missing"),
        (b"\x87".to_vec(), "a value is missing"),
        (b"t".to_vec(), "a mark is missing"),
        (b"h\x07".to_vec(), "recalls what it never put"),
        (b"Nr\xff\xff\xff\xff".to_vec(), "memo has gaps"),
        (b"}(K\x01u".to_vec(), "a key without a value"),
        (b"K\x01K\x02a".to_vec(), "not a list"),
        (b"K\x01K\x02K\x03s".to_vec(), "not a dictionary"),
        (b"X\x02\0\0\0\xff\xfe".to_vec(), "not UTF-8"),
        ([tuple(&[text("module"), text("x")]), b"Q".to_vec()].concat(), "not a storage's"),
        (b"NQ".to_vec(), "persistent id"),
    ] {
        let bytes = zip(&value, &[]);
        assert_refused(&bytes, &[part]);
    }
    assert_refused(&zip(b"\x80\x01", &[]), &["protocol 1"]);
}

#[test]
fn huge_counts_allocate_nothing() {
    let huge = u64::MAX.to_le_bytes();
    for opcode in [b"\x8d", b"\x8e"] {
        refused(&[&opcode[..], &huge].concat(), &["ends within a value"]);
    }
    for opcode in [b"X", b"T", b"B"] {
        refused(&[&opcode[..], &huge[..4]].concat(), &["ends within a value"]);
    }
    // A frame's length is nobody's business.
    let framed = [b"\x95", &huge[..], &dict(&[("weight", pair())])].concat();
    assert!(open(&zip(&framed, &[pair_storage()])).is_ok());
}

#[test]
fn nesting_and_memo_take_neither_stack_nor_memory() {
    let deep = |open: &[u8], close: &[u8]| {
        [open.repeat(60_000), b"N".to_vec(), close.repeat(60_000)].concat()
    };
    // Nothing in these is a tensor.
    for value in [deep(b"]", b"a"), deep(b")", b"\x86"), deep(b"}N", b"s"), deep(b"", b"\x85")] {
        let bytes = zip(&dict(&[("weight", pair()), ("deep", value)]), &[pair_storage()]);
        let file = open(&bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.tensors().len(), 1);
    }
    assert_refused(&zip(&deep(b"(", b"t"), &[]), &["not a state dict"]);
    for opcode in [b"]", b"(", b"N"] {
        refused(&opcode.repeat(200_000), &["more than 131072 values waiting"]);
    }
    // Lists that contain themselves.
    let loops: Vec<u8> = (0..=255).flat_map(|i| [b']', b'q', i, b'h', i, b'a']).collect();
    let value = [b"(".to_vec(), loops, b"t".to_vec()].concat();
    assert_refused(&zip(&value, &[]), &["not a state dict"]);
    // Pairs of pairs of pairs ...: 2^300 values if anybody unrolled them.
    let mut tower = b"N\x94".to_vec();
    for i in 0..300_u32 {
        let get = [&b"j"[..], &i.to_le_bytes()].concat();
        tower.extend([&get[..], &get, b"\x86\x94"].concat());
    }
    assert_refused(&zip(&[b"(".to_vec(), tower, b"t".to_vec()].concat(), &[]), &["state dict"]);

    // Too much work, however it is asked for.
    let million = 1 << 20;
    for value in [
        [b"]".to_vec(), b"}NNsa".repeat(million)].concat(),
        [b"]".to_vec(), b"]a".repeat(million)].concat(),
        [b"N".to_vec(), b"\x94".repeat(million)].concat(),
        [b"N".to_vec(), b"\x85".repeat(million)].concat(),
    ] {
        let bytes = zip(&value, &[]);
        assert_refused(&bytes, &[]);
    }
    let long = [b"N".to_vec(), b"\x94".repeat(million)].concat();
    assert_refused(&zip(&long, &[]), &["more than 786432 operations"]);
    // One list of pairs becomes a dictionary again and again.
    let pairs = [b"](".to_vec(), b"NN\x86".repeat(30_000), b"e\x85q\0".to_vec()].concat();
    let ordered = [global("collections", "OrderedDict"), b"q\x01".to_vec()].concat();
    let again = b"h\x01h\0R".repeat(30_000);
    let value = [b"(".to_vec(), pairs, ordered, again, b"t".to_vec()].concat();
    assert_refused(&zip(&value, &[]), &["more than 786432 operations"]);
}

#[test]
fn tensors_must_lie_within_their_storages() {
    let of = |offset, shape: &[i64], strides: &[i64]| {
        let weight = tensor(storage("FloatStorage", "0", 2), offset, shape, strides);
        zip(&dict(&[("weight", weight)]), &[pair_storage()])
    };
    assert!(open(&of(0, &[2], &[1])).is_ok());
    assert!(open(&of(1, &[], &[])).is_ok());
    assert!(open(&of(2, &[0, i64::MAX], &[i64::MAX, 1])).is_ok());
    let big = 1 << 62;
    for (offset, shape, strides) in [
        (1, &[2][..], &[1][..]),
        (2, &[], &[]),
        (3, &[0], &[1]),
        (0, &[3], &[1]),
        (0, &[2], &[2]),
        (0, &[2, 2], &[1, 1]),
        (0, &[1 << 40], &[0]),
        (0, &[1 << 20, 1 << 20], &[0, 0]),
        (0, &[big, big], &[1, 1]),
        (0, &[i64::MAX, i64::MAX, 0], &[1, 1, 1]),
        (0, &[2], &[i64::MAX]),
        (0, &[2, 2], &[i64::MAX, i64::MAX]),
        (0, &[i64::MAX], &[i64::MAX]),
        (i64::MAX, &[2], &[1]),
        (i64::MAX, &[1], &[1]),
        (0, &[2], &[]),
        (0, &[], &[1]),
    ] {
        let parts = ["tensor weight", "do not fit storage 0 of 2 elements"];
        assert_refused(&of(offset, shape, strides), &parts);
    }
    assert_refused(&of(-1, &[2], &[1]), &["do not fit"]);
    assert_refused(&of(0, &[-2], &[1]), &["not all numbers from zero up"]);
    assert_refused(&of(0, &[2], &[-1]), &["not all numbers from zero up"]);
    assert_refused(&of(0, &[1; 9], &[1; 9]), &["9 dimensions"]);

    for (kind, len, parts) in [
        ("FloatStorage", 3, "should have 3 elements of 4 bytes, it has 8 bytes"),
        ("FloatStorage", 1, "should have 1 elements"),
        ("DoubleStorage", 2, "should have 2 elements of 8 bytes"),
        ("FloatStorage", -2, "should have -2 elements"),
        ("FloatStorage", i64::MAX, "elements of 4 bytes"),
        ("FloatStorage", (1 << 62) + 2, "elements of 4 bytes"),
    ] {
        let weight = tensor(storage(kind, "0", len), 0, &[1], &[1]);
        assert_refused(&zip(&dict(&[("weight", weight)]), &[pair_storage()]), &["weight", parts]);
    }
    let missing = dict(&[("weight", pair())]);
    assert_refused(&zip(&missing, &[]), &["tensor weight", "storage 0 is missing"]);

    // The numbers of a negated view are others than those stored.
    let hooks = call(global("collections", "OrderedDict"), &[]);
    let negated = [
        storage("FloatStorage", "0", 2),
        int(0),
        ints(&[2]),
        ints(&[1]),
        vec![0x89],
        hooks,
        dict(&[("neg", vec![0x88])]),
    ];
    let negated = call(global("torch._utils", "_rebuild_tensor_v2"), &negated);
    assert_refused(&zip(&dict(&[("w", negated)]), &[pair_storage()]), &["negative view"]);
}

#[test]
fn there_must_be_one_state_dict_with_plain_names() {
    assert_refused(&zip(&pair(), &[pair_storage()]), &["not a state dict"]);
    assert_refused(&zip(b"]", &[]), &["not a state dict"]);
    let other = dict(&[("weights", dict(&[("weight", pair())])), ("epoch", int(1))]);
    let parts = ["no state dict at the top or under state_dict,", "entries (2): weights, epoch"];
    assert_refused(&zip(&other, &[pair_storage()]), &parts);
    // The only network is found, however deep; of several none is chosen.
    let network = || dict(&[("conv1.weight", pair())]);
    let deep = dict(&[("ema", dict(&[("module", network())])), ("epoch", int(1))]);
    let file = open(&zip(&deep, &[pair_storage()])).unwrap();
    assert_eq!(file.tensors().len(), 1);
    let notes = ["the weights are those under ema.module", "entries ignored (1): epoch"];
    assert_eq!(file.notes(), notes);
    let two = dict(&[("student", network()), ("teacher", network())]);
    let parts = ["several networks", "under (2): student, teacher"];
    assert_refused(&zip(&two, &[pair_storage()]), &parts);
    let names: Vec<String> = (0..50_001).map(|i| i.to_string()).collect();
    let many = |count: usize| {
        let get = |name: &str| [text(name), b"h\0".to_vec()].concat();
        let rest: Vec<u8> = names[1..count].iter().flat_map(|name| get(name)).collect();
        [&b"}("[..], &text("0"), &pair(), b"q\0", &rest, b"u"].concat()
    };
    assert_eq!(open(&zip(&many(50_000), &[pair_storage()])).unwrap().tensors().len(), 50_000);
    assert_refused(&zip(&many(50_001), &[pair_storage()]), &["more than 50000 tensors"]);
    let twice = dict(&[("weight", pair()), ("weight", pair())]);
    assert_refused(&zip(&twice, &[pair_storage()]), &["two tensors are called weight"]);
    let long = dict(&[(&"w".repeat(1001), pair())]);
    assert_refused(&zip(&long, &[pair_storage()]), &["longer than 1000 bytes"]);
    // A name that would steer a terminal is shown in a harmless form.
    let steering = dict(&[("\u{1b}[2J", tensor(storage("FloatStorage", "0", 2), 9, &[2], &[1]))]);
    assert_refused(&zip(&steering, &[pair_storage()]), &["tensor \\u{1b}[2J: "]);

    // The plain one comes first, and what is beside it is named.
    let both = dict(&[
        ("model", dict(&[("model's", pair())])),
        ("state_dict", dict(&[("weight", pair()), ("version", int(1))])),
        ("best", pair()),
    ]);
    let file = open(&zip(&both, &[pair_storage()])).unwrap();
    assert_eq!(file.tensors()[0].name, "weight");
    let notes =
        ["the weights are those under state_dict", "entries ignored (3): version, model, best"];
    assert_eq!(file.notes(), notes);
}
