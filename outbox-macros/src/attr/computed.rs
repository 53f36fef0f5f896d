//! Values that are expressions on `self`: the destination, and ids that are no field.

use syn::parse::ParseStream;
use syn::{Error, Expr, ExprLit, Lit, Result};

use super::Key;
use super::value::{column_fault, value};

/// A string, or an expression that is evaluated at enqueue.
pub(super) fn destination(key: &Key, input: ParseStream<'_>) -> Result<Expr> {
    let kind = "an expression on `self` or a string";
    let empty =
        "a destination cannot be empty; omit `destination` for the default of the handler set";
    expression(key, input, kind, "self.host", "destination", empty)
}

/// A string, an expression that is evaluated at enqueue, or a tuple of expressions.
pub(super) fn entity_id(key: &Key, input: ParseStream<'_>) -> Result<Expr> {
    let kind = "an expression on `self` or a string here (without a value it belongs on a field)";
    let empty = "an entity id cannot be empty";
    expression(
        key,
        input,
        kind,
        "(self.tenant, self.number)",
        "entity id",
        empty,
    )
}

/// A string, an expression that is evaluated at enqueue, or a tuple of expressions.
pub(super) fn user_id(key: &Key, input: ParseStream<'_>) -> Result<Expr> {
    let kind = "an expression on `self` or a string here (without a value it belongs on a field)";
    let empty = "a user id cannot be empty; omit `user_id` if the user comes from the call";
    expression(key, input, kind, "self.tenant", "user id", empty)
}

/// The expression, in no group and no parentheses of its own.
fn expression(
    key: &Key,
    input: ParseStream<'_>,
    kind: &str,
    example: &str,
    what: &str,
    empty: &str,
) -> Result<Expr> {
    value(key, input, kind, example, |input| {
        let mut expression: Expr = input.parse()?;
        loop {
            // A parameter of a `macro_rules!` arrives in an invisible group.
            expression = match expression {
                Expr::Group(group) => *group.expr,
                Expr::Paren(paren) => *paren.expr,
                _ => break,
            };
        }
        let fault = match &expression {
            Expr::Lit(ExprLit {
                lit: Lit::Str(literal),
                ..
            }) => match literal.value() {
                text if text.is_empty() => Some(empty.to_owned()),
                text => column_fault(what, &text),
            },
            Expr::Lit(_) => return Err(key.error("is not a string")),
            _ => None,
        };
        Ok(match fault {
            Some(fault) => Err(Error::new_spanned(&expression, fault)),
            None => Ok(expression),
        })
    })?
}
