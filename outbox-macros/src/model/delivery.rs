//! A valid error type.

use syn::{DeriveInput, Fields, Ident, Path, Type};

use super::given;
use crate::attr::{About, CaseSource, Choice, Class, Constant, ErrorSource, Place};
use crate::parameters;

/// An error type with a delivery class for every case.
pub(crate) struct ErrorType<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Path>,
    pub(crate) cases: Vec<Case<'a>>,
}

/// A variant of an error enum, or an error struct.
pub(crate) struct Case<'a> {
    /// `None` for a struct.
    pub(crate) variant: Option<&'a Ident>,
    pub(crate) answer: Answer<'a>,
    pub(crate) scope: Scope<'a>,
}

/// The delivery class of a case.
pub(crate) enum Answer<'a> {
    Retry(Option<Source<'a>>),
    Permanent,
    Unavailable(Option<Source<'a>>),
    Offline,
    Unauthenticated,
    RateLimited(Source<'a>),
    Obsolete,
    Snooze(Source<'a>),
    /// The answer of the wrapped error.
    Forward(Source<'a>),
}

/// The scope of the answer.
pub(crate) enum Scope<'a> {
    /// The event's destination, the default.
    Usual,
    Given(Constant<Choice>),
    Named(Source<'a>),
    /// The scope of the wrapped error.
    Forward(Source<'a>),
}

/// A field that provides the answer or a part of it.
pub(crate) struct Source<'a> {
    pub(crate) member: syn::Member,
    pub(crate) ty: &'a Type,
}

impl<'a> ErrorType<'a> {
    /// The error type of a source. `None` if a rule is broken.
    pub(crate) fn from_source(source: &ErrorSource<'a>) -> Option<Self> {
        let cases: Option<Vec<_>> = source.cases.iter().map(Case::from_source).collect();
        Some(Self {
            input: source.input,
            krate: given(&source.krate),
            cases: cases?,
        })
    }

    /// The wrapped types that depend on a parameter, so that the user of the generic error must
    /// provide their answer.
    pub(crate) fn generic_sources(&self) -> impl Iterator<Item = &'a Type> {
        let names: Vec<&Ident> = self
            .input
            .generics
            .type_params()
            .map(|parameter| &parameter.ident)
            .collect();
        self.cases
            .iter()
            .filter_map(|case| match &case.answer {
                Answer::Forward(source) => Some(source.ty),
                _ => None,
            })
            .filter(move |ty| parameters::mentions(*ty, &names))
    }
}

impl<'a> Case<'a> {
    fn from_source(source: &CaseSource<'a>) -> Option<Self> {
        let variant = match source.place {
            Place::Struct(_) => None,
            Place::Variant(ident) => Some(ident),
        };
        let field = |member: &syn::Member| Source::find(source.fields, member);
        let class = &source.classes.first()?.value;
        let details = class.details();
        let after = match details.and_then(|details| details.after.as_ref()) {
            Some(after) => Some(field(after)?),
            None => None,
        };
        let only_field = || field(&source.fields.members().next()?);
        let answer = match class {
            Class::Retry(_) => Answer::Retry(after),
            Class::Permanent => Answer::Permanent,
            Class::Unavailable(_) => Answer::Unavailable(after),
            Class::Offline(_) => Answer::Offline,
            Class::Unauthenticated => Answer::Unauthenticated,
            Class::RateLimited(_) => Answer::RateLimited(after?),
            Class::Obsolete => Answer::Obsolete,
            Class::Snooze(_) => Answer::Snooze(after?),
            Class::Transparent => Answer::Forward(only_field()?),
        };
        let scope = match (class, details.and_then(|details| details.about.as_ref())) {
            (Class::Transparent, _) => Scope::Forward(only_field()?),
            (_, None) => Scope::Usual,
            (_, Some(About::Scope(scope))) => Scope::Given(scope.clone()),
            (_, Some(About::Destination(name))) => Scope::Named(field(name)?),
        };
        Some(Self {
            variant,
            answer,
            scope,
        })
    }
}

impl<'a> Source<'a> {
    fn find(fields: &'a Fields, member: &syn::Member) -> Option<Self> {
        fields
            .members()
            .zip(fields)
            .find(|(declared, _)| declared == member)
            .map(|(member, field)| Self {
                member,
                ty: &field.ty,
            })
    }
}
