//! Files cut short, flipped and forged: an error each, never a panic.

use resnet_cpu::model::Options;
use resnet_cpu::weights::{
    Metadata, Overrides, TensorFile, WeightsError, WeightsFile, write_weights,
};
use tempfile::TempDir;

use crate::{Fixture, arch, assert_error};

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let fixture = Fixture::new("resnet20", Options::default());
    let entries = Metadata::of_spec(&fixture.network.spec).entries();
    write_weights(fixture.path(), &fixture.network, &fixture.params, None, &entries).unwrap();
    let whole = std::fs::read(fixture.path()).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let open = |bytes: &[u8]| {
        std::fs::write(fixture.path(), bytes).unwrap();
        WeightsFile::open(fixture.path(), &Overrides::default())
    };

    let cuts =
        (0..24).chain((24..header).step_by(211)).chain((header..whole.len()).step_by(65_521));
    for len in cuts.chain([header - 1, header, header + 1, whole.len() - 1]) {
        let error = open(&whole[..len]).err().unwrap_or_else(|| panic!("cut to {len}"));
        assert!(matches!(error, WeightsError::Format { .. }), "{len}: {error}");
        if len >= 8 {
            assert!(error.to_string().contains("cut short"), "{len}: {error}");
        }
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_error(open(&longer), &["bytes left over"]);

    // A flip in the key of some metadata leaves a valid file; it must still be the same network.
    for at in (0..64).chain((64..header).step_by(173)) {
        for bit in [0, 1, 5, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(weights) = open(&bytes) {
                assert_eq!(weights.spec(), &fixture.network.spec, "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn hostile_headers_do_not_overflow() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("w.safetensors");
    let max = u64::MAX;
    let half = max / 2;
    for header in [
        format!(
            "{{\"fc.weight\":{{\"dtype\":\"F32\",\"shape\":[{half},4],\"data_offsets\":[0,{max}]}}}}"
        ),
        format!(
            "{{\"fc.weight\":{{\"dtype\":\"U8\",\"shape\":[{max}],\"data_offsets\":[0,{max}]}}}}"
        ),
        format!(
            "{{\"fc.weight\":{{\"dtype\":\"F32\",\"shape\":[{max},0],\"data_offsets\":[0,0]}}}}"
        ),
        format!(
            "{{\"fc.weight\":{{\"dtype\":\"F32\",\"shape\":[0,64],\"data_offsets\":[0,0]}},\"layer1.0.conv1.weight\":{{\"dtype\":\"F32\",\"shape\":[{max},0],\"data_offsets\":[0,0]}}}}"
        ),
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}".to_owned(),
        "{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}".to_owned(),
        "{\"__metadata__\":{\"a\":1}}".to_owned(),
        "[".repeat(100_000),
        String::new(),
    ] {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        std::fs::write(&path, bytes).unwrap();
        for overrides in [Overrides::default(), arch("resnet20")] {
            assert!(WeightsFile::open(&path, &overrides).is_err(), "{header:.80}");
        }
    }
    for len in [max, half, 100_000_001, 100_000_000] {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        std::fs::write(&path, bytes).unwrap();
        assert_error(TensorFile::open(&path), &["w.safetensors"]);
    }
}
