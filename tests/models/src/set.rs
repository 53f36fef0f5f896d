//! Small sets of rows.

/// A set of rows, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(pub u8);

impl Set {
    /// No rows.
    pub const NONE: Self = Self(0);

    /// One row.
    #[must_use]
    pub const fn of(row: usize) -> Self {
        Self(1 << row)
    }

    /// Whether the row is in the set.
    #[must_use]
    pub const fn has(self, row: usize) -> bool {
        self.0 & (1 << row) != 0
    }

    /// Whether no row is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of rows.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Adds a row.
    pub const fn add(&mut self, row: usize) {
        self.0 |= 1 << row;
    }

    /// Takes a row out.
    pub const fn remove(&mut self, row: usize) {
        self.0 &= !(1 << row);
    }

    /// The rows of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The rows that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The rows that both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rows, in order.
    pub fn rows(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |row| self.has(*row))
    }

    /// The set after this row is gone and later ones have moved up.
    #[must_use]
    pub const fn closed_up(self, row: usize) -> Self {
        let before = self.0 & ((1 << row) - 1);
        let after = (self.0 >> 1) & !((1 << row) - 1);
        Self(before | after)
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<T: IntoIterator<Item = usize>>(rows: T) -> Self {
        let mut set = Self::NONE;
        rows.into_iter().for_each(|row| set.add(row));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_up_when_one_is_gone() {
        let set: Set = [0, 2, 3].into_iter().collect();
        assert_eq!(set.closed_up(0).rows().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(set.closed_up(1).rows().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(set.closed_up(3).rows().collect::<Vec<_>>(), [0, 2]);
    }
}
