//! The rules of headers.

use super::Headers;

impl Headers {
    /// The first rule that they break, if any, without a value. It completes a sentence that begins
    /// with "headers".
    pub(crate) fn fault(&self) -> Option<String> {
        let count = self.sorted.len();
        if count > Self::MAX_COUNT {
            let most = Self::MAX_COUNT;
            return Some(format!("are {count}, more than {most}"));
        }
        let mut bytes = 0;
        for header in &self.sorted {
            bytes += header.name.len() + header.value.len();
            if let Some(fault) = name_fault(&header.name) {
                return Some(fault);
            }
            let mut chars = header.value.char_indices();
            if let Some((at, c)) = chars.find(|(_, c)| c.is_control()) {
                let name = &header.name;
                return Some(format!(
                    "have the control character {c:?} at byte {at} of the value of {name:?}"
                ));
            }
        }
        let most = Self::MAX_BYTES;
        (bytes > most).then(|| {
            format!(
                "have {bytes} bytes together, more than {most}; larger content belongs in the metadata"
            )
        })
    }
}

fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("have one with an empty name".to_owned());
    }
    let (length, most) = (name.len(), Headers::MAX_NAME_BYTES);
    if length > most {
        return Some(format!("have a name of {length} bytes, more than {most}"));
    }
    let (at, c) = name.char_indices().find(|(_, c)| !is_in_names(*c))?;
    Some(format!(
        "have the name {name:?} with {c:?} at byte {at}; a name has letters, digits and \
         !#$%&'*+-.^_`|~"
    ))
}

/// Whether HTTP allows the character in the name of a header field (RFC 9110, `tchar`).
fn is_in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
