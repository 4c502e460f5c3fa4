//! The shards of a part, one after another. Images are read, resized and encoded in parallel, a few for each
//! thread at a time, and written in their order: so the bytes are the same for any number of threads.

use std::collections::VecDeque;
use std::io;

use resnet_cpu::data::shards::{ShardInfo, ShardWriter, Skipped, Split, Within, write_shard};
use resnet_cpu::data::{self, Limits, Sums};
use resnet_cpu::runtime::{Disk, Team, Watch, team};

use super::folder::{Done, OutFolder};
use super::part::PartPlan;
use super::settings::Choices;
use super::store::{Rule, Stored};
use crate::error::ToolError;
use crate::progress::Progress;

/// Images that a thread has in memory at a time.
const TOGETHER: usize = 8;
/// What ends a tar.
const END: u64 = 1024;

/// How a part is packed.
pub(super) struct Job<'a> {
    pub(super) part: &'a PartPlan,
    pub(super) choices: &'a Choices,
    pub(super) limits: &'a Limits,
    /// What the names of images begin with, which depends on where the set is.
    pub(super) prefix: &'a str,
    /// Whether bad images are left out.
    pub(super) skip: bool,
    pub(super) folder: &'a OutFolder,
    pub(super) progress: &'a Progress<'a>,
    /// Images of the parts before, and of all parts.
    pub(super) before: u64,
    pub(super) total: u64,
}

/// What became of a part.
pub(super) struct Packed {
    pub(super) split: Split,
    /// Sums over the squares that were measured.
    pub(super) sums: Option<Sums>,
    /// How large its images may be, those of shards that were finished before included.
    pub(super) within: Within,
}

impl Job<'_> {
    /// Packs the part. Shards that were finished before are kept.
    pub(super) fn run(&self) -> Result<Packed, ToolError> {
        team(|team| self.pack(team))
    }

    fn pack(&self, team: &mut Team<'_>) -> Result<Packed, ToolError> {
        let rule = self.choices.rule(self.part.name);
        let (mut split, mut within) = (Split::default(), Within::of(self.limits));
        let mut sums = rule.view.map(|view| Sums::new(view.crop));
        let mut ahead = Ahead { job: self, rule, ready: VecDeque::new() };
        let mut next = 0;
        while next < self.part.order.len() {
            let name = format!("{}-{:06}.tar", self.part.name, split.shards.len());
            let mut done = self.folder.done(&name, self.progress)?;
            done = done.filter(|done| done.first == next && done.end > next);
            let part_sums = |done: &Done| match rule.view {
                Some(view) => Sums::from_numbers(view.crop, done.sums.clone()?).map(Some),
                None => Some(None),
            };
            let (done, measured) = match done.and_then(|done| Some((part_sums(&done)?, done))) {
                Some((measured, done)) => (done, measured),
                None => {
                    let (done, measured) = ahead.shard(name, next, team)?;
                    self.folder.keep(&done)?;
                    (done, measured)
                }
            };
            self.progress.has_saved();
            if let (false, Some(Skipped { image, reason })) = (self.skip, done.skipped.first()) {
                return Err(ToolError::failed(format!(
                    "{}{image}: {reason}; it was left out before (--on-bad-image skip)",
                    self.prefix
                )));
            }
            if let (Some(sums), Some(measured)) = (&mut sums, measured) {
                sums.join(&measured);
            }
            next = done.end;
            within = within.or(done.within);
            split.images += done.shard.records;
            split.shards.push(done.shard);
            split.skipped.extend(done.skipped);
            self.tell(next);
        }
        if split.images == 0 {
            let (name, skipped) = (self.part.name, split.skipped.len());
            return Err(ToolError::failed(format!(
                "{name}: expected images, found none that can be read: {skipped} are bad"
            )));
        }
        Ok(Packed { split, sums, within })
    }

    fn tell(&self, done: usize) {
        self.progress.progress("images packed", self.before + done as u64, Some(self.total));
    }

    /// What an error says about an image, without where the set is and what it is called.
    fn skipped(&self, place: usize, error: &data::Error) -> Skipped {
        let name = self.part.data.name(self.part.order[place]);
        let text = error.to_string();
        let reason = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned();
        Skipped { image: name.strip_prefix(self.prefix).unwrap_or(&name).to_owned(), reason }
    }
}

/// An image that is ready to be written, or what is wrong with it, and its place.
type Ready<'a> = (usize, Result<Stored<'a>, data::Error>);

/// Images that are ready, in their order.
struct Ahead<'a> {
    job: &'a Job<'a>,
    rule: Rule,
    ready: VecDeque<Ready<'a>>,
}

impl<'a> Ahead<'a> {
    /// Writes the shard `name` from the image at place `first` on.
    fn shard(
        &mut self,
        name: String,
        first: usize,
        team: &mut Team<'_>,
    ) -> Result<(Done, Option<Sums>), ToolError> {
        let path = self.job.folder.path().join(&name);
        let mut skipped = Vec::new();
        let mut sums = self.rule.view.map(|view| Sums::new(view.crop));
        let mut end = first;
        let written = write_shard(&Disk, &path, |shard| {
            while let Some((place, result)) = self.next(end, team)? {
                match result {
                    Ok(stored) => {
                        let size = ShardWriter::size_of(stored.bytes.len() as u64);
                        let full = shard.bytes() + size + END > self.job.choices.shard_size;
                        if shard.records() > 0 && full {
                            self.ready.push_front((place, Ok(stored)));
                            break;
                        }
                        let label = self.job.part.data.label(self.job.part.order[place]) as u32;
                        let Stored { extension, bytes, flags, square } = stored;
                        shard.add(&format!("{place:06}"), extension, &bytes, label, flags)?;
                        if let (Some(sums), Some(square)) = (&mut sums, square) {
                            sums.add(&square);
                        }
                    }
                    Err(error) if error.is_of_image() && self.job.skip => {
                        let bad = self.job.skipped(place, &error);
                        self.job.progress.note(&format!("skipped {}: {}", bad.image, bad.reason));
                        skipped.push(bad);
                    }
                    Err(error) => return Err(Wrong::Image(error)),
                }
                end = place + 1;
                self.job.tell(end);
            }
            Ok(())
        });
        let index = written.map_err(|wrong| match wrong {
            Wrong::Image(error) if error.is_of_image() => ToolError::failed(format!(
                "{error} (--on-bad-image skip leaves such images out and lists them)"
            )),
            Wrong::Image(error) => error.into(),
            Wrong::Write(error) => ToolError::unwritten(&path, &error),
        })?;
        let (records, bytes, crc32c) = (index.records.len() as u64, index.bytes, index.crc);
        let shard = ShardInfo { name, records, bytes, crc32c };
        let numbers = sums.as_ref().map(Sums::numbers);
        let within = Within::of(self.job.limits);
        Ok((Done { first, end, shard, skipped, within, sums: numbers }, sums))
    }

    /// The image at `place` with its place, made ready with some that follow it; none after the last.
    fn next(
        &mut self,
        place: usize,
        team: &mut Team<'_>,
    ) -> Result<Option<Ready<'a>>, data::Error> {
        let Job { part, limits, progress, .. } = self.job;
        // A shard that was kept may have come between.
        if self.ready.front().is_some_and(|(ready, _)| *ready != place) {
            self.ready.clear();
        }
        if self.ready.is_empty() {
            let count = (team.threads() * TOGETHER).min(part.order.len() - place);
            let rule = self.rule;
            let stored = team.map(count, |i, _| {
                if progress.stopped() {
                    return Err(data::Error::Interrupted);
                }
                rule.store(&*part.data, part.order[place + i], limits)
            });
            self.ready.extend((place..).zip(stored));
        }
        if progress.stopped() {
            return Err(data::Error::Interrupted);
        }
        Ok(self.ready.pop_front())
    }
}

/// What ended a shard.
enum Wrong {
    Image(data::Error),
    Write(io::Error),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<data::Error> for Wrong {
    fn from(error: data::Error) -> Self {
        Self::Image(error)
    }
}
