//! A setting of a run: what it is called, how it is stored, spelled and read, what is possible.

use super::config::Config;

/// Under which heading the help lists a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// Not a flag, or one of another kind (the data, the network).
    NoFlag,
    /// What the run is.
    Run,
    /// How weights are changed.
    Optimiser,
    /// What is done to images.
    Images,
}

/// A setting of a run.
pub struct Setting {
    /// The flag's name, without dashes.
    pub name: &'static str,
    /// The field that stores it in a checkpoint's configuration.
    pub stored: &'static str,
    /// Where the help lists its flag.
    pub heading: Heading,
    /// The short flag, if there is one.
    pub short: Option<char>,
    /// What the help calls its value; `BOOL` may be left out and is then `true`.
    pub value: &'static str,
    /// What the help says of it.
    pub help: &'static str,
    /// What is possible.
    pub(super) expected: &'static str,
    text: fn(&Config) -> Option<String>,
    set: Set,
    pub(super) valid: fn(&Config) -> bool,
}

type Set = fn(&mut Config, &str) -> Result<(), String>;

impl Setting {
    /// Its value as text; `None` if it does not apply.
    pub fn text(&self, config: &Config) -> Option<String> {
        (self.text)(config)
    }

    /// Changes it to what `text` says.
    ///
    /// # Errors
    /// What was expected and what found.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }

    /// Whether a run with another value cannot be continued.
    pub(super) fn is_fixed(&self) -> bool {
        !["recipe", "length", "lengthened", "numerics"].contains(&self.stored)
    }

    pub(super) const fn shown(
        name: &'static str,
        stored: &'static str,
        text: fn(&Config) -> Option<String>,
    ) -> Self {
        Self {
            name,
            stored,
            heading: Heading::NoFlag,
            short: None,
            value: "",
            help: "",
            expected: "",
            text,
            set: |_, _| Err("it cannot be set".to_owned()),
            valid: |_| true,
        }
    }

    pub(super) const fn flag(
        self,
        heading: Heading,
        value: &'static str,
        help: &'static str,
        set: Set,
    ) -> Self {
        Self { heading, value, help, set, ..self }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(super) const fn valid(self, expected: &'static str, valid: fn(&Config) -> bool) -> Self {
        Self { expected, valid, ..self }
    }
}
