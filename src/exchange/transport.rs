//! What moves bytes between processes.

/// What a message is about. Messages of one kind from one process to another arrive in the order in which they were
/// sent; those of different kinds may overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sums of gradients, on their way to whoever updates the weights they belong to.
    Sums,
    /// Updated weights, on their way to all others.
    Weights,
    /// Anything else.
    Words,
}

/// Bytes for another process.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The number of the process.
    pub to: usize,
    /// What they are about.
    pub kind: Kind,
    /// Fewer than 2^31.
    pub bytes: &'a [u8],
}

/// Where bytes of another process go.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The number of the process.
    pub from: usize,
    /// What they are about.
    pub kind: Kind,
    /// As many as it sends.
    pub bytes: &'a mut [u8],
}

/// The processes that train a network, as seen by one of them.
pub trait Exchange: Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn processes(&self) -> usize;

    /// The machine that this one runs on.
    fn host(&self) -> String;

    /// Sends and receives side by side, and returns when all is done. `waiting` is called again and again until then.
    fn swap(&self, outgoing: &[Outgoing], incoming: &mut [Incoming], waiting: &mut dyn FnMut());

    /// Tells all others that the work should end. It returns at once.
    fn ask_to_stop(&self);

    /// Whether another process has asked since this was last called.
    fn asked_to_stop(&self) -> bool;
}
