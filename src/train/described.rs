//! A configuration as text, by the table of settings: printed, compared with another, told from its recipe.

use std::fmt;

use super::config::{Config, Length};
use super::schedule::Schedule;
use super::setting::Setting;
use super::settings::SETTINGS;

impl Config {
    /// All settings as text, by their names on the command line; those that do not apply are left out.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let shown = |setting: &Setting| Some((setting.name, setting.text(self)?));
        SETTINGS.iter().filter_map(shown).collect()
    }

    /// Why a run with configuration `self` cannot be continued with `asked`: a line
    /// `name: stored X, requested Y` for each difference, empty if there is none that matters. A greater
    /// length continues the run. The recipe's name alone is not a difference.
    pub fn diff(&self, asked: &Self) -> Vec<String> {
        let line = |name: &str, stored: Option<String>, asked: Option<String>| {
            let none = || "none".to_owned();
            let (stored, asked) = (stored.unwrap_or_else(none), asked.unwrap_or_else(none));
            (stored != asked).then(|| format!("{name}: stored {stored}, requested {asked}"))
        };
        let shorter = asked.total_steps() < self.total_steps();
        let length = shorter
            .then(|| line("length", Some(self.length.to_string()), Some(asked.length.to_string())));
        let settings = SETTINGS.iter().filter(|setting| setting.is_fixed());
        let others = settings.filter_map(|s| line(s.name, s.text(self), s.text(asked)));
        others.chain(length.flatten()).collect()
    }

    /// Why a run with configuration `self` is not the one that `asked` makes from the start: as [`diff`](Self::diff),
    /// and if it was or would be lengthened while its learning rate falls towards the end.
    pub fn diff_from_start(&self, asked: &Self) -> Vec<String> {
        let mut differences = self.diff(asked);
        let longer = asked.total_steps() > self.total_steps();
        if self.schedule == Schedule::Cosine && (longer || !self.lengthened.is_empty()) {
            let lengths = self.lengthened.iter().chain([&self.length]).map(Length::to_string);
            let stored = lengths.collect::<Vec<_>>().join(", lengthened to ");
            differences.push(format!(
                "length: stored {stored}, requested {} from the start (a cosine is another one then)",
                asked.length
            ));
        }
        differences
    }

    /// The settings that differ from `other`'s, as text.
    pub fn changed_from(&self, other: &Self) -> Vec<(&'static str, String)> {
        let changed = |setting: &&Setting| setting.text(self) != setting.text(other);
        let shown = |setting: &Setting| Some((setting.name, setting.text(self)?));
        SETTINGS.iter().filter(changed).filter_map(shown).collect()
    }
}

/// One `name = value` a line.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().iter().try_for_each(|(name, value)| writeln!(f, "{name:<17} = {value}"))
    }
}
