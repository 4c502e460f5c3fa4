//! What every process learns from all, or from the first.

use super::transport::{Exchange, Incoming, Kind, Outgoing};

/// Bytes of a message at most: a whole network is told in several.
const MESSAGE: usize = 64 << 20;

/// The words of all processes, in their order; `mine` are those of this one. `waiting` is called until all are there.
pub fn gather(exchange: &dyn Exchange, mine: &[u8], waiting: &mut dyn FnMut()) -> Vec<Vec<u8>> {
    let own = (mine.len() as u64).to_le_bytes();
    let sizes = gather_sized(exchange, &own, &vec![own.len(); exchange.processes()], waiting);
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|size| u64::from_le_bytes(size[..].try_into().expect("eight bytes")) as usize)
        .collect();
    gather_sized(exchange, mine, &sizes, waiting)
}

/// As [`gather`], where the sizes are known.
fn gather_sized(
    exchange: &dyn Exchange,
    mine: &[u8],
    sizes: &[usize],
    waiting: &mut dyn FnMut(),
) -> Vec<Vec<u8>> {
    let rank = exchange.rank();
    let mut all: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![0; size]).collect();
    all[rank].copy_from_slice(mine);
    let others = |process: &usize| *process != rank;
    let outgoing: Vec<Outgoing> = (0..sizes.len())
        .filter(others)
        .map(|to| Outgoing { to, kind: Kind::Words, bytes: mine })
        .collect();
    let mut incoming: Vec<Incoming> = all
        .iter_mut()
        .enumerate()
        .filter(|(process, _)| others(process))
        .map(|(from, bytes)| Incoming { from, kind: Kind::Words, bytes })
        .collect();
    exchange.swap(&outgoing, &mut incoming, waiting);
    all
}

/// What the first process says: its `words`, on all. Those of the others are replaced.
pub fn tell(exchange: &dyn Exchange, words: &mut Vec<u8>, waiting: &mut dyn FnMut()) {
    let mut size = (words.len() as u64).to_le_bytes();
    tell_sized(exchange, &mut size, waiting);
    words.resize(u64::from_le_bytes(size) as usize, 0);
    words.chunks_mut(MESSAGE).for_each(|part| tell_sized(exchange, part, waiting));
}

fn tell_sized(exchange: &dyn Exchange, bytes: &mut [u8], waiting: &mut dyn FnMut()) {
    if exchange.rank() > 0 {
        let incoming = Incoming { from: 0, kind: Kind::Words, bytes };
        return exchange.swap(&[], &mut [incoming], waiting);
    }
    let outgoing: Vec<Outgoing> =
        (1..exchange.processes()).map(|to| Outgoing { to, kind: Kind::Words, bytes }).collect();
    exchange.swap(&outgoing, &mut [], waiting);
}

#[cfg(test)]
mod tests {
    use super::super::testing::together;
    use super::*;

    #[test]
    fn everyone_hears_everyone_and_the_first() {
        let heard = together(3, |exchange| {
            let mine = vec![exchange.rank() as u8; 2 * exchange.rank()];
            let all = gather(exchange, &mine, &mut || ());
            let mut words = if exchange.rank() == 0 { b"go".to_vec() } else { vec![9; 7] };
            tell(exchange, &mut words, &mut || ());
            (all, words)
        });
        let all = vec![vec![], vec![1; 2], vec![2; 4]];
        assert_eq!(heard, vec![(all, b"go".to_vec()); 3]);
    }
}
