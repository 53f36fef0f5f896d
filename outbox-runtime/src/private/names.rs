//! Functions named like the parameters that generated code shows in its documentation.
//!
//! A parameter is a pattern, which refers to a constant or static of the same name if the user has
//! one. These functions are imported next to the generated code and shadow such a constant; a
//! function is not a pattern, so the parameter shadows it in turn. Names that do not appear in
//! documentation begin with `__` instead.

/// The parameter of `handled_by`.
pub fn handler() {}

/// The parameter of `decode`.
pub fn record() {}
