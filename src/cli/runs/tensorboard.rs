//! A run's metrics as TensorBoard's event file: a sequence of records (TFRecord), each an `Event` message of
//! Protocol Buffers with the scalars of an epoch. Steps are weight updates.
//!
//! Field numbers are those of TensorFlow's `event.proto` and `summary.proto`. The file's name does not depend on
//! time or host, so that a second export replaces the first and TensorBoard never shows a run twice.

use prost::Message;
use resnet_cpu::runtime::{Disk, write_durably};
use resnet_cpu::train::{EpochMetrics, METRICS, StoredRun};
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::super::error::CliError;

/// TensorBoard reads files with `tfevents` in their names.
const FILE: &str = "events.out.tfevents.resnet-cpu";
/// What the first record of a file says.
const VERSION: &str = "brain.Event:2";
/// What TFRecord adds to a rotated checksum.
const MASK: u32 = 0xa282_ead8;

/// `tensorflow.Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`, of a scalar.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// A scalar of an epoch, under a name whose first part is the chart's.
type Scalar = (&'static str, fn(&EpochMetrics) -> Option<f64>);

/// The scalars that mean the same in every run.
const SCALARS: [Scalar; 4] = [
    ("loss/train", |e| e.train_loss),
    ("top1/train", |e| e.train_top1),
    ("lr", |e| Some(e.lr)),
    ("images_per_second", |e| e.images_per_second),
];
/// Those that are of validation or test images, as the configuration says.
const MEASURED: [Scalar; 3] =
    [("loss", |e| e.val_loss), ("top1", |e| e.val_top1), ("top5", |e| e.val_top5)];

/// Writes the event file of `run` into `folder`, which is made if it is missing.
///
/// # Errors
/// It cannot be written.
pub(super) fn export(run: &StoredRun, folder: &Path) -> Result<(), CliError> {
    let failed = |action: &str, path: &Path, error: io::Error| {
        CliError::failed(format!("{}: cannot {action}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed("create", folder, error))?;
    let path = folder.join(FILE);
    let events = events(run, last_change(&run.folder.join(METRICS)));
    write_durably(&Disk, &path, |out| events.iter().try_for_each(|event| write_record(out, event)))
        .map_err(|error| failed("write", &path, error))
}

/// When the file was changed, in seconds since 1970; 0 if that is not known.
fn last_change(path: &Path) -> f64 {
    let changed = path.metadata().and_then(|found| found.modified()).ok();
    changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |age| age.as_secs_f64())
}

/// The events of a file: its version, then one for each epoch. The last epoch ended at `end`; the others' times follow
/// from how long each epoch took, so they do not show pauses.
fn events(run: &StoredRun, end: f64) -> Vec<Event> {
    let test = run.head.as_ref().is_some_and(|head| head.config.data.test);
    let measured = if test { "test" } else { "validation" };
    let seconds = |epoch: &EpochMetrics| epoch.seconds.unwrap_or(0.0);
    let mut wall_time = end - run.epochs.iter().map(seconds).sum::<f64>();
    let version = Event { wall_time, file_version: Some(VERSION.to_owned()), ..Event::default() };
    let epochs = run.epochs.iter().map(|epoch| {
        wall_time += seconds(epoch);
        let scalar = |tag: String, value: Option<f64>| {
            Some(Value { tag, simple_value: Some(value? as f32) })
        };
        let always =
            SCALARS.iter().filter_map(|(tag, value)| scalar(tag.to_string(), value(epoch)));
        let found = MEASURED
            .iter()
            .filter_map(|(chart, value)| scalar(format!("{chart}/{measured}"), value(epoch)));
        let summary = Some(Summary { value: always.chain(found).collect() });
        let step = i64::try_from(epoch.step).unwrap_or(i64::MAX);
        Event { wall_time, step, file_version: None, summary }
    });
    [version].into_iter().chain(epochs).collect()
}

/// Writes a record: its length, the length's checksum, its bytes, their checksum; all little-endian.
fn write_record(out: &mut (impl Write + ?Sized), event: &Event) -> io::Result<()> {
    let bytes = event.encode_to_vec();
    let length = (bytes.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(&bytes)?;
    out.write_all(&masked(&bytes).to_le_bytes())
}

/// The CRC-32C of `bytes`, changed so that the checksum of bytes that hold a checksum is sound, too.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_cpu::train::RunStatus;

    /// The records that tensorboard 2.21.0 itself writes of these events (its `RecordWriter`).
    const GOLDEN: [&str; 2] = [
        "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d",
        "2c00000000000000f4aecc45090000604afc54d9411087032a1e0a110a0a6c6f73732f747261696e150000c03f\
         0a090a026c7215cdcccc3d674fbeb9",
    ];

    #[test]
    fn records_are_those_that_tensorboard_writes() {
        let value = |tag: &str, value| Value { tag: tag.to_owned(), simple_value: Some(value) };
        let version = Event {
            wall_time: 1_700_000_000.0,
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        };
        let scalars = Event {
            wall_time: 1_700_000_041.5,
            step: 391,
            summary: Some(Summary { value: vec![value("loss/train", 1.5), value("lr", 0.1)] }),
            ..Event::default()
        };
        for (event, golden) in [version, scalars].iter().zip(GOLDEN) {
            let mut bytes = Vec::new();
            write_record(&mut bytes, event).unwrap();
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, golden);
        }
    }

    #[test]
    fn epochs_become_events_at_the_times_when_they_ended() {
        let epoch = |step, seconds, val_top1| EpochMetrics {
            step,
            seconds,
            val_top1,
            lr: 0.5,
            ..EpochMetrics::default()
        };
        let run = StoredRun {
            folder: "run".into(),
            status: RunStatus::Interrupted,
            head: None,
            epochs: vec![epoch(10, Some(3.0), None), epoch(20, Some(4.0), Some(0.25))],
            result: None,
            problems: Vec::new(),
        };
        let events = events(&run, 100.0);
        let seen: Vec<(f64, i64)> = events.iter().map(|e| (e.wall_time, e.step)).collect();
        assert_eq!(seen, [(93.0, 0), (96.0, 10), (100.0, 20)]);
        let tags = |event: &Event| -> Vec<(String, f32)> {
            let values = &event.summary.as_ref().unwrap().value;
            values.iter().map(|v| (v.tag.clone(), v.simple_value.unwrap())).collect()
        };
        assert_eq!(tags(&events[1]), [("lr".to_owned(), 0.5)], "what was not measured is left out");
        assert_eq!(tags(&events[2])[1], ("top1/validation".to_owned(), 0.25));
    }
}
