//! A rectangle of a matrix that belongs to one task, so that tasks can share out a matrix by rows and by
//! columns alike.

use crate::simd::{Simd, Strided};
use std::marker::PhantomData;
use std::ops::Range;

/// Exclusive access to a rectangle of a row-major matrix.
pub struct RectMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    /// From row to row of the whole matrix.
    stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a rectangle is the only access to its elements, as a `&mut [f32]` would be.
unsafe impl Send for RectMut<'_> {}

impl<'a> RectMut<'a> {
    /// All of `matrix`, whose rows have `columns` elements.
    ///
    /// # Panics
    /// If `matrix` does not consist of whole rows.
    pub fn new(matrix: &'a mut [f32], columns: usize) -> Self {
        assert!(columns > 0 && matrix.len().is_multiple_of(columns), "rows of {columns}");
        let (start, rows) = (matrix.as_mut_ptr(), matrix.len() / columns);
        Self { start, rows, columns, stride: columns, matrix: PhantomData }
    }

    /// The rows above `row`, and the others.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn split_at_row(self, row: usize) -> (Self, Self) {
        assert!(row <= self.rows, "row {row} of {}", self.rows);
        let below = self.start.wrapping_add(row * self.stride);
        (Self { rows: row, ..self }, Self { start: below, rows: self.rows - row, ..self })
    }

    /// The columns left of `column`, and the others.
    ///
    /// # Panics
    /// If there are fewer columns.
    pub fn split_at_column(self, column: usize) -> (Self, Self) {
        assert!(column <= self.columns, "column {column} of {}", self.columns);
        let right = self.start.wrapping_add(column);
        let columns = self.columns - column;
        (Self { columns: column, ..self }, Self { start: right, columns, ..self })
    }

    /// Some of its rows, for a shorter time.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn rows(&mut self, rows: Range<usize>) -> RectMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let start = self.start.wrapping_add(rows.start * self.stride);
        RectMut { start, rows: rows.len(), matrix: PhantomData, ..*self }
    }

    /// Its values, if it has all columns of the matrix.
    pub fn whole_rows(&mut self) -> Option<&mut [f32]> {
        // SAFETY: rows that follow each other without a gap, which are ours alone.
        (self.columns == self.stride).then(|| unsafe {
            std::slice::from_raw_parts_mut(self.start, self.rows * self.columns)
        })
    }

    /// Stores `values` one below the other, the first at (`row`, `column`).
    ///
    /// # Panics
    /// If one ends beyond the rectangle.
    #[inline(always)]
    pub(crate) fn store<S: Simd, const N: usize>(
        &mut self,
        s: S,
        values: [S::V; N],
        row: usize,
        column: usize,
    ) {
        assert!(N <= self.rows && row <= self.rows - N, "rows {row} and on of {}", self.rows);
        assert!(
            S::LANES <= self.columns && column <= self.columns - S::LANES,
            "columns {column} and on of {}",
            self.columns
        );
        assert!(N <= 8, "{N} vectors");
        let first = self.start.wrapping_add(row * self.stride + column);
        let places = Strided::new(first, self.stride);
        for (i, v) in values.into_iter().enumerate() {
            // SAFETY: in the rectangle (asserted), which is ours alone.
            unsafe { s.store_ptr(v, places.at(i).cast_mut()) };
        }
    }

    /// Fetches `N` vectors one below the other, the first at (`row`, `column`), which will be written to. What is
    /// beyond the rectangle does no harm.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd, const N: usize>(&self, s: S, row: usize, column: usize) {
        for i in 0..N {
            s.prefetch_write(self.start.wrapping_add((row + i) * self.stride + column));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;
    use std::panic::AssertUnwindSafe;

    const L: usize = Portable::LANES;

    #[test]
    fn each_element_is_in_one_part() {
        let mut matrix = vec![0.0; 5 * 3 * L];
        let (above, below) = RectMut::new(&mut matrix, 3 * L).split_at_row(2);
        let (left, right) = below.split_at_column(L);
        for (mut part, rows, columns, value) in
            [(above, 2, 3, 1.0), (left, 3, 1, 10.0), (right, 3, 2, 100.0)]
        {
            for row in 0..rows {
                for column in 0..columns {
                    part.store(Portable, [Portable.splat(value)], row, column * L);
                }
            }
        }
        for (i, &value) in matrix.iter().enumerate() {
            let expected = match (i / (3 * L), i % (3 * L) / L) {
                (0..2, _) => 1.0,
                (_, 0) => 10.0,
                _ => 100.0,
            };
            assert_eq!(value, expected, "element {i}");
        }
    }

    #[test]
    fn whole_rows_are_a_slice_and_parts_of_them_are_not() {
        let mut matrix: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut all = RectMut::new(&mut matrix, 3);
        assert_eq!(all.rows(1..3).whole_rows().unwrap(), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(all.rows(4..4).whole_rows().unwrap().is_empty());
        let (mut left, _) = all.split_at_column(2);
        assert!(left.whole_rows().is_none());
        assert!(std::panic::catch_unwind(AssertUnwindSafe(move || left.rows(3..5).rows)).is_err());
    }

    /// What `store` of two vectors at (`row`, `column`) makes of three rows of `L + 1`.
    fn stored_at(row: usize, column: usize) -> Vec<f32> {
        let mut matrix = vec![0.0; 3 * (L + 1)];
        let values = [Portable.splat(1.0), Portable.splat(2.0)];
        RectMut::new(&mut matrix, L + 1).store(Portable, values, row, column);
        matrix
    }

    #[test]
    fn vectors_are_stored_one_below_the_other() {
        let row = |value: f32| [vec![0.0], vec![value; L]].concat();
        assert_eq!(stored_at(1, 1), [row(0.0), row(1.0), row(2.0)].concat());
    }

    #[test]
    fn nothing_is_stored_beyond_the_rectangle() {
        for (row, column) in [(2, 0), (0, 2), (usize::MAX, 0), (0, usize::MAX)] {
            assert!(
                std::panic::catch_unwind(|| stored_at(row, column)).is_err(),
                "({row}, {column})"
            );
        }
    }
}
