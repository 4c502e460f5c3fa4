//! Products and packing with a team for each call, on the current pool.

use super::super::{self as gemm_room, ASource, Backend, Epilogue, PackedB};
use crate::runtime::team;

pub(super) fn gemm<A: ASource>(a: &A, b: &PackedB, c: &mut [f32], epilogue: &Epilogue) {
    team(|team| gemm_room::gemm(team, a, b, c, epilogue));
}

pub(super) fn gemm_transposed<A: ASource>(
    backend: Backend,
    a: &A,
    b: &[f32],
    n: usize,
    c: &mut [f32],
) {
    team(|team| gemm_room::gemm_transposed(team, backend, a, b, n, c));
}

pub(super) fn from_rows(backend: Backend, k: usize, n: usize, values: &[f32]) -> PackedB {
    team(|team| PackedB::from_rows(team, backend, k, n, values))
}
