//! One process: nobody to tell anything.

use super::transport::{Exchange, Incoming, Outgoing};

/// The only process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Exchange for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn processes(&self) -> usize {
        1
    }

    fn host(&self) -> String {
        "this machine".to_owned()
    }

    fn swap(&self, outgoing: &[Outgoing], incoming: &mut [Incoming], _: &mut dyn FnMut()) {
        assert!(outgoing.is_empty() && incoming.is_empty(), "there is nobody else");
    }

    fn ask_to_stop(&self) {}

    fn asked_to_stop(&self) -> bool {
        false
    }
}
