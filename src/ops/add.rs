//! The sum of two gradients: where a shortcut left the main path, both come back.

use crate::runtime::Team;
use crate::simd::{Isa, Simd, SimdOp};

/// Floats that one task adds.
const TASK: usize = 32 * 1024;

/// a += b, element by element.
///
/// # Panics
/// If their sizes differ.
pub fn add_assign(team: &mut Team, isa: Isa, a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "sizes of the sum's terms");
    team.for_each_chunk(a, TASK, |i, a, _| {
        let b = &b[i * TASK..][..a.len()];
        isa.dispatch(Add { a, b });
    });
}

struct Add<'a> {
    a: &'a mut [f32],
    b: &'a [f32],
}

impl SimdOp for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        for (a, b) in self.a.chunks_mut(S::LANES).zip(self.b.chunks(S::LANES)) {
            s.store(s.add(s.load(a), s.load(b)), a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{everywhere, normals};
    use super::*;

    #[test]
    fn adds_every_element() {
        for len in [0, 1, 15, 16, 17, TASK + 5] {
            let (a, b) = (normals(1, len), normals(2, len));
            let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            for sum in everywhere(|team, isa| {
                let mut sum = a.clone();
                add_assign(team, isa, &mut sum, &b);
                vec![sum]
            }) {
                assert_eq!(sum[0], expected);
            }
        }
    }
}
