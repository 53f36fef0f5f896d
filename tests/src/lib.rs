//! The tests of this package are in `tests/`, one file per guarantee.
