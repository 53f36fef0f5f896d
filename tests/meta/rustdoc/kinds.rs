//! The kinds of methods that need no example of their own.

use syn::{Block, Expr, Signature, Stmt};

use super::docs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// A method that returns a field, of a type that has an example.
    Getter,
    /// An item that says that it is for authors of stores.
    ForStores,
}

/// Whether the method returns one field, or a view of it, and does nothing else.
pub fn is_getter(signature: &Signature, body: &Block) -> bool {
    let takes_self_alone = signature.receiver().is_some() && signature.inputs.len() == 1;
    let [Stmt::Expr(value, None)] = body.stmts.as_slice() else {
        return false;
    };
    takes_self_alone && signature.asyncness.is_none() && is_view(value)
}

fn is_view(value: &Expr) -> bool {
    match value {
        Expr::Reference(reference) => is_view(&reference.expr),
        Expr::Field(field) => is_self(&field.base) || is_view(&field.base),
        Expr::MethodCall(call) => {
            let views = [
                "as_deref", "as_ref", "as_slice", "as_str", "clone", "get", "is_empty", "iter",
                "len",
            ];
            let is_view_method = views.iter().any(|name| call.method == name);
            is_view_method && call.args.is_empty() && is_view(&call.receiver)
        }
        _ => false,
    }
}

fn is_self(base: &Expr) -> bool {
    matches!(base, Expr::Path(path) if path.path.is_ident("self"))
}

/// Whether the documentation says that the item is for authors of stores.
pub fn is_for_stores(text: &str) -> bool {
    let text = docs::words(text).to_lowercase();
    ["for stores", "for implementations of", "used by stores"]
        .iter()
        .any(|phrase| text.contains(phrase))
}
