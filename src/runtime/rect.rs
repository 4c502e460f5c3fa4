//! A rectangle of a matrix that belongs to one task, so that tasks can share out a matrix by rows and by
//! columns alike.

use crate::simd::Simd;
use std::marker::PhantomData;

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

    /// The elements of row `row`.
    ///
    /// # Panics
    /// If there are fewer rows.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the rectangle lies in a matrix that is borrowed for 'a; no other rectangle has these
        // elements, since splitting shares them out, and `&mut self` excludes a second row.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }
}

impl RectMut<'_> {
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
        assert!(row + N <= self.rows && column + S::LANES <= self.columns, "beyond the rectangle");
        for (i, v) in values.into_iter().enumerate() {
            // SAFETY: in the rectangle (asserted), which is ours alone.
            unsafe { s.store_ptr(v, self.start.add((row + i) * self.stride + column)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_is_in_one_part() {
        let mut matrix = vec![0.0; 5 * 7];
        let (above, below) = RectMut::new(&mut matrix, 7).split_at_row(2);
        let (left, right) = below.split_at_column(3);
        for (mut part, rows, columns, value) in
            [(above, 2, 7, 1.0), (left, 3, 3, 10.0), (right, 3, 4, 100.0)]
        {
            for row in 0..rows {
                assert_eq!(part.row(row).len(), columns);
                part.row(row).iter_mut().for_each(|v| *v += value);
            }
        }
        for (i, &value) in matrix.iter().enumerate() {
            let expected = match (i / 7, i % 7) {
                (0..2, _) => 1.0,
                (_, 0..3) => 10.0,
                _ => 100.0,
            };
            assert_eq!(value, expected, "element {i}");
        }
    }
}
