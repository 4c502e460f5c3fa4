//! The options that say how large an image may be, and how it is decoded.

use resnet_cpu::data::{self, JpegDecoder, Limits};

#[derive(clap::Args)]
pub(super) struct LimitArgs {
    /// Largest width and height of an image, in pixels
    #[arg(long, value_name = "N", default_value_t = Limits::default().side, value_parser = clap::value_parser!(u32).range(1..))]
    max_side: u32,
    /// Largest size of an image in bytes, both decoded and as a file
    #[arg(long, value_name = "N", default_value_t = Limits::default().bytes, value_parser = clap::value_parser!(u64).range(1..=2 << 30))]
    max_bytes: u64,
    /// Decoder of JPEGs, whose choice changes results in the last digits: rust, or libjpeg-turbo where it was built in
    #[arg(long, value_name = "NAME", default_value_t)]
    decoder: JpegDecoder,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits { side: self.max_side, bytes: self.max_bytes, decoder: self.decoder }
    }
}

/// What to do about an error of data, to follow its text.
pub(super) fn advice(error: &data::Error) -> &'static str {
    match error {
        data::Error::TooLarge { .. } => " (see --max-side, --max-bytes)",
        _ => "",
    }
}
