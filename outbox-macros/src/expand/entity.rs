//! `impl OutboxEntity`, and the items beside it.

use proc_macro2::TokenStream;
use quote::quote;

use super::{
    destination, enqueue, generics, ids, in_const, metadata, options, parents, runtime, sensitive,
    versions,
};
use crate::model::Entity;

/// Everything that `#[derive(OutboxEntity)]` generates.
pub(super) fn expand(entity: &Entity<'_>) -> TokenStream {
    let runtime = runtime(entity.krate.as_ref());
    let struct_item = metadata::struct_item(entity);
    let items = [
        ids::import(&entity.entity_id).unwrap_or_default(),
        trait_impl(entity),
        enqueue::methods(entity),
        metadata::serde_impls(entity),
        options::assertion(entity),
        parents::assertions(entity),
        ids::marker(entity).unwrap_or_default(),
        sensitive::debug(entity).unwrap_or_default(),
        sensitive::debug_of_entity(entity).unwrap_or_default(),
    ];
    let hidden = in_const(&runtime, &items);
    quote!(#struct_item #hidden)
}

fn trait_impl(entity: &Entity<'_>) -> TokenStream {
    let name = entity.name;
    let (impl_generics, type_generics, _) = entity.generics.split_for_impl();
    let where_clause = generics::of_entity(entity);
    let event_type = options::text(&entity.options.event_type);
    let metadata_type = metadata::associated_type(entity);
    let options = options::value(entity);
    let entity_id = ids::entity_id(&entity.entity_id);
    let inspect_id = ids::inspect(&entity.entity_id);
    let user_id = ids::user_id(entity.user_id.as_ref());
    let json = metadata::json(entity);
    let sensitive = sensitive::value(entity);
    let destination = destination::method(entity);
    let parents = parents::method(entity);
    let upcast = versions::upcast(entity);
    // Output:
    //     impl _outbox::OutboxEntity for MoodEntry {
    //         type Metadata = MoodEntryMetadata;
    //         const EVENT_TYPE: &'static str = "moodEntry";
    //         const OPTIONS: _outbox::support::EntityOptions =
    //             _outbox::support::EntityOptions::new(Self::EVENT_TYPE).with_priority(5);
    //         const SENSITIVE: _outbox::support::Sensitive = _outbox::support::Sensitive::Nothing;
    //         fn entity_id(&self) -> _outbox::EntityId {
    //             <Uuid as _outbox::support::AsEntityId>::as_entity_id(&self.id) }
    //         fn inspect_id_type<__I: InspectIdType>(__inspect: __I) -> __I::Output { .. }
    //         fn user_id(&self) -> Cow<'_, str> {
    //             <String as _outbox::support::AsUserId>::as_user_id(&self.user_id) }
    //         fn destination(&self) -> Option<String> {
    //             _outbox::__private::destination(&self.host) }
    //         fn parents(&self) -> Vec<_outbox::Parent> { .. }
    //         fn metadata_json(&self) -> Result<_outbox::RawMetadata, JsonError> { .. }
    //         fn upcast<__R: ReadVersion<Self::Metadata>>(version: u32, read: __R)
    //             -> Option<__R::Output> { .. }
    //     }
    quote! {
        #[automatically_derived]
        impl #impl_generics _outbox::OutboxEntity for #name #type_generics #where_clause {
            type Metadata = #metadata_type;

            const EVENT_TYPE: &'static ::core::primitive::str = #event_type;

            const OPTIONS: _outbox::support::EntityOptions = #options;

            const SENSITIVE: _outbox::support::Sensitive = #sensitive;

            fn entity_id(&self) -> _outbox::EntityId {
                #entity_id
            }

            #inspect_id

            fn user_id(&self) -> ::std::borrow::Cow<'_, ::core::primitive::str> {
                #user_id
            }

            #destination

            #parents

            fn metadata_json(
                &self,
            ) -> ::core::result::Result<_outbox::RawMetadata, _outbox::__private::JsonError> {
                #json
            }

            #upcast
        }
    }
}
