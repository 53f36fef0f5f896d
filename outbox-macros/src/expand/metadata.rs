//! The struct `<Entity>Metadata`, and the JSON of an entity's metadata.
//!
//! Usually the runtime's helpers write and read it, one line a field, which costs the compiler a fraction of what
//! serde's derives do. Where the user's `#[serde(..)]` decides about the form, serde's derives are used.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Ident, Visibility};

use super::{at, derived_name, of_generated_code};
use crate::model::{Entity, Member, Metadata, MetadataFields};

/// What stands for the type `Metadata` in the impl.
pub(super) fn type_name(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Snapshot(_) => quote_spanned!(at(entity.name.span())=> Self),
        Metadata::Fields(_) => derived_name(entity.name, "Metadata").into_token_stream(),
    }
}

/// The metadata's type, to be named where `Self` is no type.
pub(super) fn type_path(entity: &Entity<'_>) -> Ident {
    match &entity.metadata {
        Metadata::Snapshot(_) => of_generated_code(entity.name),
        Metadata::Fields(_) => derived_name(entity.name, "Metadata"),
    }
}

/// The struct that handlers read; nothing for a snapshot.
pub(super) fn struct_item(entity: &Entity<'_>, runtime: &TokenStream) -> Option<TokenStream> {
    let Metadata::Fields(metadata) = &entity.metadata else {
        return None;
    };
    let Entity { name, vis, .. } = entity;
    let struct_name = derived_name(name, "Metadata");
    let summary = format!(
        "What an event of [`{name}`] carries: its metadata as it was when the event was enqueued."
    );
    let derives = metadata
        .follows_serde()
        .then(|| serde_derives(metadata, runtime));
    // Otherwise it is written so that it leaves out what is sensitive.
    let debug = entity
        .metadata
        .sensitive()
        .is_none()
        .then(|| quote!(, ::core::fmt::Debug));
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let docs = docs(field);
        let serde = field.serde();
        let vis = vis_at(vis, ident);
        quote!(#docs #(#serde)* #vis #ident: #ty)
    });
    // Output:
    //     #[derive(Clone, Debug)]
    //     pub struct MoodEntryMetadata {
    //         pub valence: f64,
    //         pub labels: Vec<String>,
    //     }
    Some(quote! {
        #[doc = #summary]
        #[allow(deprecated)]
        #[derive(::core::clone::Clone #debug)]
        #derives
        #vis struct #struct_name {
            #(#fields,)*
        }
    })
}

/// The entity's visibility at the place of a field, so that an error about the field does not underline half the struct.
fn vis_at(vis: &Visibility, field: &Ident) -> TokenStream {
    let tokens = vis.to_token_stream().into_iter();
    tokens
        .map(|mut token| {
            token.set_span(field.span());
            token
        })
        .collect()
}

/// What the user wrote about the field, or its name.
fn docs(field: &Member<'_>) -> TokenStream {
    let written = field.docs();
    let mut docs = quote!(#(#written)*);
    if docs.is_empty() {
        let summary = format!("The entity's `{}`.", field.ident.unraw());
        docs = quote!(#[doc = #summary]);
    }
    docs
}

fn serde_derives(metadata: &MetadataFields<'_>, runtime: &TokenStream) -> TokenStream {
    let serde = quote!(#runtime::__private::serde);
    let path = serde.to_string();
    let rename_all = metadata.rename_all.iter();
    // Output:
    //     #[derive(::outbox_runtime::__private::serde::Serialize, ..::Deserialize)]
    //     #[serde(crate = "::outbox_runtime::__private::serde", rename_all = "camelCase")]
    quote! {
        #[derive(#serde::Serialize, #serde::Deserialize)]
        #[serde(crate = #path #(, #rename_all)*)]
    }
}

/// The body of `metadata_json`, from the fields where they are.
pub(super) fn json(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        // Output: _outbox::__private::snapshot(self, (&_outbox::__private::Field::<Self>::TYPE).codec())
        Metadata::Snapshot(_) => {
            quote!(_outbox::__private::snapshot(
                self,
                (&_outbox::__private::Field::<Self>::TYPE).codec()
            ))
        }
        Metadata::Fields(metadata) if metadata.follows_serde() => serde_json(entity, metadata),
        Metadata::Fields(metadata) => {
            let fields = metadata.fields.iter().map(|field| field.ident);
            // Output: __write(_outbox::__private::ObjectWriter::new(), &self.valence, &self.labels)
            quote!(__write(_outbox::__private::ObjectWriter::new() #(, &self.#fields)*))
        }
    }
}

/// A twin of the metadata struct that borrows from the entity, by way of serde's remote derive.
fn serde_json(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let remote = entity.name.to_string();
    let rename_all = metadata.rename_all.iter();
    let fields = metadata.fields.iter().map(|field| {
        let Member { ident, ty, .. } = field;
        let serde = field.serde();
        quote!(#(#serde)* #ident: #ty)
    });
    // Output:
    //     #[derive(_outbox::__private::serde::Serialize)]
    //     #[serde(crate = "_outbox::__private::serde", remote = "MoodEntry", rename_all = "camelCase")]
    //     struct __Borrowed { valence: f64, labels: Vec<String> }
    //     _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    quote! {
        #[derive(_outbox::__private::serde::Serialize)]
        #[serde(crate = "_outbox::__private::serde", remote = #remote #(, #rename_all)*)]
        struct __Borrowed {
            #(#fields,)*
        }
        _outbox::__private::encode(|__serializer| __Borrowed::serialize(self, __serializer))
    }
}

/// `Serialize` and `Deserialize` for the struct, unless serde's derives make them.
pub(super) fn serde_impls(entity: &Entity<'_>) -> TokenStream {
    match &entity.metadata {
        Metadata::Fields(metadata) if !metadata.follows_serde() => [
            assertions(&metadata.fields),
            write(&metadata.fields),
            serialize(entity, metadata),
            deserialize(entity, metadata),
        ]
        .into_iter()
        .collect(),
        Metadata::Snapshot(_) => assertions(&[]),
        Metadata::Fields(_) => TokenStream::new(),
    }
}

/// The one list of names and values, which the entity and its metadata struct share.
fn write(fields: &[Member<'_>]) -> TokenStream {
    let names = numbered(fields);
    let types = fields.iter().map(|field| field.ty);
    let keys = fields.iter().map(key);
    let codecs = fields.iter().map(codec);
    // Output:
    //     fn __write<__O: _outbox::__private::ObjectSink>(__object: __O, __field_0: &f64) -> __O::Output {
    //         __object.field("valence", __field_0, (&_outbox::__private::Field::<f64>::TYPE).codec()).finish()
    //     }
    quote! {
        fn __write<__O: _outbox::__private::ObjectSink>(
            __object: __O,
            #(#names: &#types,)*
        ) -> __O::Output {
            __object
                #(.field(#keys, #names, #codecs))*
                .finish()
        }
    }
}

fn serialize(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let struct_name = derived_name(entity.name, "Metadata");
    let name = struct_name.unraw().to_string();
    let count = metadata.fields.len();
    let fields = metadata.fields.iter().map(|field| field.ident);
    // Output:
    //     impl Serialize for MoodEntryMetadata {
    //         fn serialize<__S: Serializer>(&self, __serializer: __S) -> Result<__S::Ok, __S::Error> {
    //             __write(StructWriter::new(__serializer, "MoodEntryMetadata", 1usize), &self.valence)
    //         }
    //     }
    quote! {
        #[automatically_derived]
        impl _outbox::__private::serde::Serialize for #struct_name {
            fn serialize<__S: _outbox::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                let __object = _outbox::__private::StructWriter::new(__serializer, #name, #count);
                __write(__object #(, &self.#fields)*)
            }
        }
    }
}

fn deserialize(entity: &Entity<'_>, metadata: &MetadataFields<'_>) -> TokenStream {
    let struct_name = derived_name(entity.name, "Metadata");
    let slots = slots(&metadata.fields);
    let methods = slot_methods(&struct_name, &metadata.fields);
    // Output:
    //     struct __Slots { __field_0: Option<f64> }
    //     impl _outbox::__private::ObjectSlots for __Slots { type Object = MoodEntryMetadata; .. }
    //     impl<'de> Deserialize<'de> for MoodEntryMetadata {
    //         fn deserialize<__D: Deserializer<'de>>(__deserializer: __D) -> Result<Self, __D::Error> {
    //             _outbox::__private::read_object::<__Slots, __D>(__deserializer)
    //         }
    //     }
    quote! {
        #slots

        #[automatically_derived]
        impl _outbox::__private::ObjectSlots for __Slots {
            type Object = #struct_name;

            #methods
        }

        #[automatically_derived]
        impl<'de> _outbox::__private::serde::Deserialize<'de> for #struct_name {
            fn deserialize<__D: _outbox::__private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                _outbox::__private::read_object::<__Slots, __D>(__deserializer)
            }
        }
    }
}

/// Room for each field while it is read.
fn slots(fields: &[Member<'_>]) -> TokenStream {
    let names = numbered(fields);
    let types = fields.iter().map(|field| field.ty);
    // Output: struct __Slots { __field_0: Option<f64> }
    quote! {
        struct __Slots {
            #(#names: ::core::option::Option<#types>,)*
        }
    }
}

fn slot_methods(struct_name: &Ident, fields: &[Member<'_>]) -> TokenStream {
    let names = numbered(fields);
    let idents = fields.iter().map(|field| field.ident);
    let keys: Vec<String> = fields.iter().map(key).collect();
    let codecs = fields.iter().map(codec);
    // Output:
    //     const NAMES: &'static [&'static str] = &["valence"];
    //     fn empty() -> Self { Self { __field_0: None } }
    //     fn put<'de, __A: MapAccess<'de>>(&mut self, __name: &str, __map: &mut __A) -> Result<(), __A::Error> {
    //         match __name { "valence" => fill(&mut self.__field_0, "valence", __map, codec), _ => skip(__map) }
    //     }
    //     fn finish(self) -> Option<MoodEntryMetadata> { Some(MoodEntryMetadata { valence: self.__field_0? }) }
    quote! {
        const NAMES: &'static [&'static ::core::primitive::str] = &[#(#keys),*];

        fn empty() -> Self {
            Self { #(#names: ::core::option::Option::None,)* }
        }

        fn put<'de, __A: _outbox::__private::serde::de::MapAccess<'de>>(
            &mut self,
            __name: &::core::primitive::str,
            __map: &mut __A,
        ) -> ::core::result::Result<(), __A::Error> {
            match __name {
                #(#keys => _outbox::__private::fill(&mut self.#names, #keys, __map, #codecs),)*
                _ => _outbox::__private::skip(__map),
            }
        }

        fn finish(self) -> ::core::option::Option<#struct_name> {
            ::core::option::Option::Some(#struct_name {
                #(#idents: self.#names?,)*
            })
        }
    }
}

/// `__field_0`, `__field_1`: not the fields' names, as a parameter of that name could meet a constant of the user's.
fn numbered(fields: &[Member<'_>]) -> Vec<Ident> {
    (0..fields.len())
        .map(|index| format_ident!("__field_{index}"))
        .collect()
}

/// The field's name in the JSON.
fn key(field: &Member<'_>) -> String {
    field.ident.unraw().to_string()
}

/// What writes and reads the field's type; it compiles for every type, see [`assertions`].
fn codec(field: &Member<'_>) -> TokenStream {
    let ty = field.ty;
    // Output: (&_outbox::__private::Field::<f64>::TYPE).codec()
    quote!((&_outbox::__private::Field::<#ty>::TYPE).codec())
}

/// Refuses a type that cannot be metadata, once and at the field.
fn assertions(fields: &[Member<'_>]) -> TokenStream {
    let count = fields.len();
    let assertions = fields.iter().map(|field| {
        let ty = field.ty;
        quote_spanned!(at(ty.span())=> _outbox::__private::assert_metadata_field::<#ty>)
    });
    // Output:
    //     use _outbox::__private::{Coded as _, Uncoded as _};
    //     const _: [fn(); 1usize] = [_outbox::__private::assert_metadata_field::<f64>];
    quote! {
        use _outbox::__private::{Coded as _, Uncoded as _};
        const _: [fn(); #count] = [#(#assertions),*];
    }
}
