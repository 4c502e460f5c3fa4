//! Which decoder reads JPEGs of usual layouts. The two round differently, so the choice decides bits and is
//! stored with a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A decoder of JPEGs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JpegDecoder {
    /// The one in Rust, which every build has.
    #[default]
    Rust,
    /// libjpeg-turbo, as Pillow and torchvision use it: in builds with Cargo's feature `libjpeg-turbo`.
    LibjpegTurbo,
}

/// A decoder that this build lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this build has no {0} (build it with Cargo's feature {0})")]
pub struct NoDecoder(JpegDecoder);

impl JpegDecoder {
    /// Itself if this build has it.
    ///
    /// # Errors
    /// If it has not.
    pub fn available(self) -> Result<Self, NoDecoder> {
        match self {
            Self::LibjpegTurbo if !cfg!(feature = "libjpeg-turbo") => Err(NoDecoder(self)),
            found => Ok(found),
        }
    }
}

impl fmt::Display for JpegDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::LibjpegTurbo => "libjpeg-turbo",
        })
    }
}

impl FromStr for JpegDecoder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Rust, Self::LibjpegTurbo];
        let found = all.into_iter().find(|decoder| decoder.to_string() == text);
        let found = found.ok_or_else(|| format!("expected rust or libjpeg-turbo, found {text}"))?;
        found.available().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_is_not_built_in_is_refused() {
        assert_eq!("rust".parse(), Ok(JpegDecoder::Rust));
        let found = "libjpeg-turbo".parse::<JpegDecoder>();
        if cfg!(feature = "libjpeg-turbo") {
            assert_eq!(found, Ok(JpegDecoder::LibjpegTurbo));
        } else {
            let said =
                "this build has no libjpeg-turbo (build it with Cargo's feature libjpeg-turbo)";
            assert_eq!(found, Err(said.to_owned()));
        }
        let said = "expected rust or libjpeg-turbo, found zune";
        assert_eq!("zune".parse::<JpegDecoder>(), Err(said.to_owned()));
    }
}
