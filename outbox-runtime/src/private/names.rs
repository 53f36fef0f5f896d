//! Functions with the names of the parameters that generated code shows in its documentation.
//!
//! A parameter's name is a pattern, and means the user's constant or static of that name where there is one. Imported
//! beside the generated code these hide it, and a function is no pattern: a parameter hides it in turn. Names that
//! nobody sees begin with `__` instead.

/// Of `handled_by`.
pub fn handler() {}

/// Of `decode`.
pub fn record() {}
