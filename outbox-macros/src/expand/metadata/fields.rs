//! Metadata that the runtime's helpers write and read.
//!
//! What is emitted says what the fields are; all that is done with them is in the runtime, once for each number of
//! fields. Each function here costs the compiler more than a line in the runtime does: `benches/compile` tells.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::Ident;
use syn::ext::IdentExt;

use super::super::derived_name;
use crate::model::{Entity, Member, MetadataFields};

/// The body of `metadata_json`.
pub(super) fn json(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let struct_name = derived_name(entity.name, "Metadata");
    let helper = helper(&metadata.fields);
    let fields = metadata.fields.iter().map(|field| field.ident);
    // Output: <MoodEntryMetadata as _outbox::__private::Fields2>::json((&self.valence, &self.labels,))
    quote!(<#struct_name as #helper>::json((#(&self.#fields,)*)))
}

/// The struct as a tuple of its fields, and what follows from that.
pub(super) fn impls(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let struct_name = derived_name(entity.name, "Metadata");
    let helper = helper(&metadata.fields);
    let fields_impl = fields_impl(&struct_name, &helper, &metadata.fields);
    let serde_impls = serde_impls(&struct_name, &helper);
    quote!(#fields_impl #serde_impls)
}

/// The trait of the runtime for so many fields.
fn helper(fields: &[Member<'_>]) -> TokenStream {
    let name = format_ident!("Fields{}", fields.len());
    // Output: _outbox::__private::Fields2
    quote!(_outbox::__private::#name)
}

fn fields_impl(struct_name: &Ident, helper: &TokenStream, fields: &[Member<'_>]) -> TokenStream {
    let count = fields.len();
    let keys = fields.iter().map(|field| field.ident.unraw().to_string());
    let idents: Vec<&Ident> = fields.iter().map(|field| field.ident).collect();
    let types = fields.iter().map(|field| field.ty);
    let places: Vec<Literal> = (0..count).map(Literal::usize_unsuffixed).collect();
    let names: Vec<Ident> = (0..count).map(|place| format_ident!("F{place}")).collect();
    // Output:
    //     impl _outbox::__private::Fields2 for MoodEntryMetadata {
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
        impl #helper for #struct_name {
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

fn serde_impls(struct_name: &Ident, helper: &TokenStream) -> TokenStream {
    // Output:
    //     impl Serialize for MoodEntryMetadata {
    //         fn serialize<__S: Serializer>(&self, __serializer: __S) -> Result<__S::Ok, __S::Error> {
    //             <Self as _outbox::__private::Fields2>::write(self, __serializer)
    //         }
    //     }
    //     impl<'de> Deserialize<'de> for MoodEntryMetadata {
    //         fn deserialize<__D: Deserializer<'de>>(__deserializer: __D) -> Result<Self, __D::Error> {
    //             <Self as _outbox::__private::Fields2>::read(__deserializer)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl _outbox::__private::serde::Serialize for #struct_name {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                <Self as #helper>::write(self, __serializer)
            }
        }

        #[automatically_derived]
        impl<'de> _outbox::__private::serde::Deserialize<'de> for #struct_name {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                <Self as #helper>::read(__deserializer)
            }
        }
    }
}
