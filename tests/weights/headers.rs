//! Headers of safetensors that lie or ask for too much.

use resnet_cpu::weights::TensorFile;

fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[track_caller]
fn refused(header: &str, data: usize, part: &str) {
    let error = TensorFile::from_bytes(file(header, data), "w").unwrap_err().to_string();
    assert!(error.starts_with("w: ") && error.contains(part), "{part:?} is not in: {error}");
    assert!(error.len() < 600 && !error.contains('\n'), "{error}");
}

fn entry(dtype: &str, shape: &str, offsets: [u64; 2]) -> String {
    let [start, end] = offsets;
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

#[test]
fn what_is_described_must_fill_the_file_once() {
    let pair = |a: [u64; 2], b: [u64; 2]| {
        let len = |[start, end]: [u64; 2]| end.saturating_sub(start);
        let entry = |range| entry("U8", &format!("[{}]", len(range)), range);
        format!(r#"{{"a":{},"b":{}}}"#, entry(a), entry(b))
    };
    assert!(TensorFile::from_bytes(file(&pair([0, 4], [4, 8]), 8), "w").is_ok());
    assert!(TensorFile::from_bytes(file(&pair([4, 8], [0, 4]), 8), "w").is_ok());
    refused(&pair([0, 4], [2, 8]), 8, "overlap: tensor b begins at 2");
    refused(&pair([0, 4], [0, 4]), 4, "overlap");
    refused(&pair([0, 4], [6, 8]), 8, "leave a gap: tensor b begins at 6");
    refused(&pair([1, 4], [4, 8]), 8, "leave a gap: tensor a begins at 1");
    refused(&pair([0, 4], [4, 8]), 7, "cut short: the tensors take 8 bytes, 7 follow");
    refused(&pair([0, 4], [4, 8]), 9, "bytes left over");
    refused(&pair([0, u64::MAX], [4, 8]), 8, "does not fit its data_offsets");
    let one = |entry: String| format!(r#"{{"a":{entry}}}"#);
    refused(&one(entry("F32", "[2]", [0, 4])), 4, "tensor a: its shape [2] of F32");
    refused(&one(entry("F32", "[1]", [4, 0])), 4, "does not fit");
    refused(&one(entry("F99", "[1]", [0, 4])), 4, "tensor a: unknown element type 'F99'");
    refused(&one(entry("F4", "[1]", [0, 1])), 1, "does not fit");
    for shape in ["[18446744073709551615,2]", "[4294967296,4294967296,4294967296]"] {
        refused(&one(entry("F32", shape, [0, 4])), 4, "does not fit");
    }
    refused(&one(entry("F32", "[-1]", [0, 4])), 4, "the header is damaged");
    refused(&one(entry("F32", "[1.5]", [0, 4])), 4, "the header is damaged");
    refused(&one(entry("F32", "[1e999]", [0, 4])), 4, "the header is damaged");
    // Tensors without elements take no room.
    let empty =
        format!(r#"{{"a":{},"b":{}}}"#, entry("F32", "[0,9]", [0, 0]), entry("F32", "[]", [0, 4]));
    let empty = TensorFile::from_bytes(file(&empty, 4), "w").unwrap();
    assert_eq!(empty.values(&empty.tensors()[0]).unwrap().unwrap(), [0.0; 0]);
    assert_eq!(empty.values(&empty.tensors()[1]).unwrap().unwrap(), [0.0]);
}

#[test]
fn names_are_used_once() {
    let a = entry("U8", "[1]", [0, 1]);
    refused(&format!(r#"{{"a":{a},"a":{a}}}"#), 1, "two tensors are called a");
    refused(&format!(r#"{{"a":{a},"\u0061":{a}}}"#), 1, "two tensors are called a");
    refused(r#"{"__metadata__":{},"__metadata__":{}}"#, 0, "two entries __metadata__");
    refused(r#"{"__metadata__":{"k":"1","k":"2"}}"#, 0, "two entries of metadata k");
    refused(r#"{"__metadata__":{"k":1}}"#, 0, "the header is damaged");
    refused(r#"{"__metadata__":[]}"#, 0, "the header is damaged");
    refused(r#"{"a":3}"#, 0, "the header is damaged");
    refused(r#"{} {}"#, 0, "the header is damaged");
    refused("[]", 0, "it is JSON text");
    let steering = format!(r#"{{"a\u001b[31m\n":{a},"a\u001b[31m\n":{a}}}"#);
    refused(&steering, 1, r"a\u{1b}[31m\n");
}

/// Counted before they take memory.
#[test]
fn counts_have_limits() {
    let each = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let empty = entry("F32", "[0]", [0, 0]);
    let tensors = |count| format!("{{{}}}", each(count, &|i| format!("\"{i}\":{empty}")));
    assert_eq!(
        TensorFile::from_bytes(file(&tensors(50_000), 0), "w").unwrap().tensors().len(),
        50_000
    );
    refused(&tensors(50_001), 0, "more than 50000 tensors");
    let metadata =
        |count| format!(r#"{{"__metadata__":{{{}}}}}"#, each(count, &|i| format!("\"{i}\":\"\"")));
    assert!(TensorFile::from_bytes(file(&metadata(10_000), 0), "w").is_ok());
    refused(&metadata(10_001), 0, "more than 10000 entries of metadata");
    let name = |len: usize| format!("{{\"{}\":{empty}}}", "n".repeat(len));
    assert!(TensorFile::from_bytes(file(&name(1000), 0), "w").is_ok());
    refused(&name(1001), 0, "longer than 1000 bytes");
    let shape = |count| {
        format!(
            r#"{{"a":{}}}"#,
            entry("U8", &format!("[{}]", each(count, &|_| "1".to_owned())), [0, 1])
        )
    };
    assert!(TensorFile::from_bytes(file(&shape(8), 1), "w").is_ok());
    refused(&shape(9), 1, "more than 8 dimensions");
    refused(&" ".repeat((16 << 20) + 1), 0, "it is text");
    let long = format!("{{{}}}", " ".repeat(16 << 20));
    refused(&long, 0, "its header takes 16777218 bytes, more than 16777216");
    // Nothing but the length is read of a header that is too long, nor of one that is not there.
    let mut promised = file("{", 0);
    promised[..8].copy_from_slice(&(63_u64 << 20).to_le_bytes());
    let error = TensorFile::from_bytes(promised.clone(), "w").unwrap_err().to_string();
    assert!(error.contains("its header takes 66060288 bytes"), "{error}");
    promised[..8].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    let error = TensorFile::from_bytes(promised, "w").unwrap_err().to_string();
    assert!(error.contains("cut short: the header takes 1048576 bytes, 1 are left"), "{error}");
}

#[test]
fn long_and_nested_nonsense_is_an_error_of_a_line() {
    let long = "x".repeat(1 << 20);
    refused(&format!(r#"{{"a":"{long}"}}"#), 0, "the header is damaged");
    refused(&format!(r#"{{"a":{}}}"#, entry(&long, "[1]", [0, 1])), 1, "unknown element type");
    refused(&format!(r#"{{"a":{}}}"#, entry("F32", &format!("\"{long}\""), [0, 1])), 1, "damaged");
    refused(&format!(r#"{{"a":{}"#, "[".repeat(1 << 20)), 0, "the header is damaged");
    let nested = format!(r#"{{"a":{{"other":{}"#, "[".repeat(1 << 20));
    refused(&nested, 0, "the header is damaged");
}
