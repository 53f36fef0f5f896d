//! Errors of an application, and the text of any error: its sources on one line, without secrets.

use std::error::Error;

/// Any error of an application.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Removes the URL from an HTTP client's error, as it may contain a secret.
pub(crate) fn without_url(error: BoxError) -> BoxError {
    #[cfg(feature = "reqwest")]
    let error = match error.downcast::<reqwest::Error>() {
        Ok(error) => error.without_url().into(),
        Err(other) => other,
    };
    error
}

/// The maximum number of causes that are followed: a chain of sources may be circular.
const MAX_CAUSES: usize = 16;

/// An error and its chain of sources.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(MAX_CAUSES)
}

/// The error of reqwest's connector for an `https` URL when no TLS backend is built in.
#[cfg(feature = "reqwest")]
pub(crate) const LACKS_TLS: &str = "invalid URL, scheme is not http";

/// An error and its sources on one line, without the URLs of HTTP clients' errors.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    let text = texts.join(": ");
    #[cfg(feature = "reqwest")]
    let text = match texts.iter().any(|text| text == LACKS_TLS) {
        true => format!(
            "{text}: reqwest is built without TLS; enable its feature `rustls` or `native-tls`"
        ),
        false => text,
    };
    #[cfg(feature = "reqwest")]
    let text = causes(error)
        .filter_map(|error| error.downcast_ref::<reqwest::Error>()?.url())
        .fold(text, |text, url| {
            text.replace(&format!(" for url ({url})"), "")
        });
    text
}
