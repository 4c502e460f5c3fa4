//! Work that is cut into tasks but not yet run, so that the tasks of several pieces can become one loop.

use super::{ChunksMut, Parts, Scratch, Team};

/// Tasks to be run in any order, each once.
pub struct Tasks<'a> {
    count: usize,
    run: Box<dyn Fn(usize, Scratch) + Sync + Send + 'a>,
}

impl<'a> Tasks<'a> {
    /// `count` tasks, which `run` runs by their number.
    pub fn new(count: usize, run: impl Fn(usize, Scratch) + Sync + Send + 'a) -> Self {
        Self { count, run: Box::new(run) }
    }

    /// A task for each chunk of `len` of `slice`.
    pub fn of_chunks<T: Send>(
        slice: &'a mut [T],
        len: usize,
        run: impl Fn(usize, &mut [T], Scratch) + Sync + Send + 'a,
    ) -> Self {
        Self::of_parts(ChunksMut::new(slice, len), run)
    }

    /// A task for each of `parts`.
    pub fn of_parts<P: Parts + Send + 'a>(
        parts: P,
        run: impl Fn(usize, P::Part, Scratch) + Sync + Send + 'a,
    ) -> Self {
        Self::new(parts.count(), move |i, scratch| {
            // SAFETY: tasks are run by `run` and `all` only, each below the count once, and these
            // consume `self`.
            let part = unsafe { parts.part(i) };
            run(i, part, scratch);
        })
    }

    /// Runs the tasks of all `pieces` in one loop.
    pub fn all(team: &mut Team, pieces: Vec<Tasks>) {
        let mut end = 0;
        let ends: Vec<usize> = pieces
            .iter()
            .map(|piece| {
                end += piece.count;
                end
            })
            .collect();
        team.for_each(end, |task, scratch| {
            let piece = ends.partition_point(|&end| end <= task);
            let first = ends[piece] - pieces[piece].count;
            (pieces[piece].run)(task - first, scratch);
        });
    }

    /// Runs these tasks.
    pub fn run(self, team: &mut Team) {
        team.for_each(self.count, self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::team;

    #[test]
    fn pieces_become_one_loop() {
        let (mut a, mut b) = (vec![0; 7], vec![0; 10]);
        let a_tasks = Tasks::of_chunks(&mut a, 2, |i, chunk, _| chunk.fill(i + 1));
        let none = Tasks::new(0, |_, _| panic!("there are no tasks"));
        let b_tasks = Tasks::of_chunks(&mut b, 5, |i, chunk, _| chunk.fill(10 * (i + 1)));
        team(|team| Tasks::all(team, vec![a_tasks, none, b_tasks]));
        assert_eq!(a, [1, 1, 2, 2, 3, 3, 4]);
        assert_eq!(b, [10, 10, 10, 10, 10, 20, 20, 20, 20, 20]);
    }
}
