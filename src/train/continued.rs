//! What becomes of a stored run when it is gone on with: a longer one, or an error that says how it differs.

use std::path::Path;

use super::config::{Config, NUMERICS};
use super::error::RunError;
use super::schedule::Schedule;
use super::state::State;

/// The stored `state` made as long as `asked`, unless it is of another run.
pub(super) fn go_on(
    mut state: State,
    asked: Config,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<State, RunError> {
    let stored = &mut state.config;
    if asked.data.test && !stored.data.test {
        // Runs of early versions do not say what they are measured on, and chose by a test set.
        stored.data.test = true;
        state.best = None;
    }
    let differences = stored.diff(&asked);
    if !differences.is_empty() {
        return Err(RunError::AnotherRun { path: folder.to_owned(), differences });
    }
    if stored.numerics != NUMERICS {
        notes.push(format!(
            "the run was started by a version with other numerics (kind {}); from here on it uses kind \
             {NUMERICS}, so its result is that of neither version alone",
            stored.numerics
        ));
        stored.numerics = NUMERICS;
    }
    let (before, after) = (stored.total_steps(), asked.total_steps());
    if after > before && state.progress.step > 0 {
        let length = stored.length;
        stored.lengthened.push(length);
        let cosine = matches!(stored.schedule, Schedule::Cosine);
        let rate = if cosine {
            ": its learning rate fell towards the end of the shorter one, so the result is not that of \
             a run of that length from the start"
        } else {
            ""
        };
        notes.push(format!("the run is lengthened from {length} to {}{rate}", asked.length));
    }
    stored.length = asked.length;
    Ok(state)
}
