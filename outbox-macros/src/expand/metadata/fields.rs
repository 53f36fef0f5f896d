//! Metadata that the runtime's helpers serialize.
//!
//! The emitted code only names the fields; the runtime does the work, once for each number of
//! fields. Each emitted function costs the compiler more than a line in the runtime: see
//! `benches/compile`.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::Ident;
use syn::ext::IdentExt;

use crate::expand::generics;
use crate::model::{Entity, MetadataFields};

/// The body of `metadata_json`.
pub(super) fn json(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let type_path = super::type_path(entity);
    let helper = helper(metadata);
    let fields = metadata.fields.iter().map(|field| field.ident);
    // Output: <MoodEntryMetadata as _outbox::__private::Shown2<__Own>>::json((&self.valence,
    //         &self.labels,))
    quote!(<#type_path as #helper>::json((#(&self.#fields,)*)))
}

/// The struct as a tuple of its fields, and the impls that follow from it.
pub(super) fn impls(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    // A private type in the header of the impl lets the types of private fields be private, too.
    // Output: struct __Own;
    let own = quote!(
        struct __Own;
    );
    let items = [fields_impl, serialize, deserialize].map(|item| item(entity, metadata));
    let shown = metadata.is_shown().then(|| shown(entity, metadata));
    std::iter::once(own).chain(items).chain(shown).collect()
}

/// The runtime's trait for this number of fields.
fn helper(metadata: &MetadataFields<'_>) -> TokenStream {
    let count = metadata.fields.len();
    let name = if metadata.is_shown() {
        format_ident!("Shown{count}")
    } else {
        format_ident!("Fields{count}")
    };
    // Output: _outbox::__private::Shown2<__Own>
    quote!(_outbox::__private::#name<__Own>)
}

fn fields_impl(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let fields = &metadata.fields;
    let type_path = super::type_path(entity);
    let helper = helper(metadata);
    let (impl_generics, ..) = metadata.generics.split_for_impl();
    let where_clause = generics::of_metadata(metadata);
    // An empty tuple looks like a superfluous return type.
    let silence = fields
        .is_empty()
        .then(|| quote!(#[allow(clippy::unused_unit)]));
    let count = fields.len();
    let keys = fields.iter().map(|field| field.ident.unraw().to_string());
    let idents: Vec<&Ident> = fields.iter().map(|field| field.ident).collect();
    let types = fields.iter().map(|field| field.ty);
    let places: Vec<Literal> = (0..count).map(Literal::usize_unsuffixed).collect();
    let names: Vec<Ident> = (0..count).map(|place| format_ident!("F{place}")).collect();
    // Output:
    //     impl _outbox::__private::Shown2<__Own> for MoodEntryMetadata {
    //         type F0 = f64;
    //         type F1 = Vec<String>;
    //         const NAMES: &'static [&'static str; 2usize] = &["valence", "labels"];
    //         fn from_fields(__fields: (Self::F0, Self::F1,)) -> Self {
    //             Self { valence: __fields.0, labels: __fields.1 }
    //         }
    //         fn as_fields(&self) -> (&Self::F0, &Self::F1,) { (&self.valence, &self.labels,) }
    //     }
    quote! {
        #[automatically_derived]
        #silence
        impl #impl_generics #helper for #type_path #where_clause {
            #(type #names = #types;)*

            const NAMES: &'static [&'static ::core::primitive::str; #count] = &[#(#keys),*];

            fn from_fields(__fields: (#(Self::#names,)*)) -> Self {
                Self { #(#idents: __fields.#places,)* }
            }

            fn as_fields(&self) -> (#(&Self::#names,)*) {
                (#(&self.#idents,)*)
            }
        }
    }
}

fn serialize(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let type_path = super::type_path(entity);
    let helper = helper(metadata);
    let (impl_generics, ..) = metadata.generics.split_for_impl();
    let where_clause = generics::of_metadata(metadata);
    // Output:
    //     impl Serialize for MoodEntryMetadata {
    //         fn serialize<__S: Serializer>(&self, __serializer: __S) -> Result<__S::Ok,
    //             __S::Error> {
    //             <Self as _outbox::__private::Shown2<__Own>>::write(self, __serializer)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::__private::serde::Serialize for #type_path #where_clause {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                <Self as #helper>::write(self, __serializer)
            }
        }
    }
}

/// `Clone`, and `Debug` under the name that the user knows.
fn shown(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let type_path = super::type_path(entity);
    let name = super::known_as(entity).unraw().to_string();
    let helper = helper(metadata);
    let (impl_generics, ..) = metadata.generics.split_for_impl();
    let where_clause = generics::of_metadata(metadata);
    // Output:
    //     impl Clone for MoodEntryMetadata {
    //         fn clone(&self) -> Self { <Self as _outbox::__private::Shown2<__Own>>::copy(self) }
    //     }
    //     impl Debug for MoodEntryMetadata {
    //         fn fmt(&self, __f: &mut Formatter<'_>) -> fmt::Result {
    //             <Self as _outbox::__private::Shown2<__Own>>::show(self, "MoodEntryMetadata", __f)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics ::core::clone::Clone for #type_path #where_clause {
            fn clone(&self) -> Self {
                <Self as #helper>::copy(self)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #type_path #where_clause {
            fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                <Self as #helper>::show(self, #name, __f)
            }
        }
    }
}

fn deserialize(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let type_path = super::type_path(entity);
    let helper = helper(metadata);
    let params = generics::without_defaults(&metadata.generics);
    let where_clause = generics::of_metadata(metadata);
    // Output:
    //     impl<'de> Deserialize<'de> for MoodEntryMetadata {
    //         fn deserialize<__D: Deserializer<'de>>(__deserializer: __D) -> Result<Self,
    //             __D::Error> {
    //             <Self as _outbox::__private::Shown2<__Own>>::read(__deserializer)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl<'de, #(#params,)*> _outbox::__private::serde::Deserialize<'de> for #type_path #where_clause {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                <Self as #helper>::read(__deserializer)
            }
        }
    }
}
