//! The input of `#[derive(EntityId)]`: a newtype of an id.

use syn::{Data, DeriveInput, Field, Path};

use super::level::Level;
use super::{EnumAttrs, Keyed, each_key};
use crate::check;
use crate::diag::Diagnostics;

/// A struct with all its attributes, valid or not.
pub(crate) struct IdSource<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Keyed<Path>>,
    /// The fields that hold something.
    pub(crate) fields: Vec<(syn::Member, &'a Field)>,
}

impl<'a> IdSource<'a> {
    /// Reads a struct. Any other item is recorded, and read as a struct without fields.
    pub(crate) fn read(input: &'a DeriveInput, diag: &mut Diagnostics) -> Self {
        let krate = EnumAttrs::read_at(Level::Id, &input.attrs, diag).krate;
        let fields = match &input.data {
            Data::Struct(data) => {
                for field in &data.fields {
                    // #[outbox(..)] on a field has no meaning; what is there tells what was meant.
                    each_key(&field.attrs, Level::IdField, diag, |_, _, _| false);
                }
                let members = data.fields.members().zip(&data.fields);
                members.filter(|(_, field)| !is_marker(field)).collect()
            }
            Data::Enum(_) | Data::Union(_) => Vec::new(),
        };
        check::id(input, &fields, diag);
        Self {
            input,
            krate,
            fields,
        }
    }
}

/// Whether a field only names a parameter: `PhantomData<T>`.
fn is_marker(field: &Field) -> bool {
    match &field.ty {
        syn::Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "PhantomData"),
        _ => false,
    }
}
