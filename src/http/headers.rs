//! The header fields of a request. The only user of httparse.

use arrayvec::ArrayVec;
use httparse::Header;

use super::head::Head;
use super::request_error::{FIELDS_TOO_LARGE, RequestError};

/// Most field lines in one head (hyper and h2o: 100). Past it: 431.
const FIELDS_MAX: usize = 100;

/// Room for the fields of one head after the other. What is not used is not written: room for the most that may come is three
/// kilobytes, and filling them in every turn would be a good part of what a request without a neighbour costs.
#[derive(Default)]
pub struct HeaderStorage<'a>(ArrayVec<Header<'a>, FIELDS_MAX>);

/// The field lines of one head.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    lines: &'a [Header<'a>],
    /// A bit for each name, by [`mark`]. Most requests have none of the fields that are looked for, and that shows here.
    marks: u64,
}

impl<'a> Headers<'a> {
    pub(super) fn parse<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
    ) -> Result<Headers<'h>, RequestError> {
        let HeaderStorage(storage) = storage;
        if head.field_lines > FIELDS_MAX {
            return Err(FIELDS_TOO_LARGE);
        }
        storage.clear();
        storage.extend(std::iter::repeat_n(httparse::EMPTY_HEADER, head.field_lines));
        match httparse::parse_headers(head.headers(), storage) {
            Ok(httparse::Status::Complete((_, lines))) => Ok(Headers {
                lines,
                marks: lines.iter().fold(0, |marks, line| marks | mark(line.name)),
            }),
            Ok(httparse::Status::Partial) => Err(RequestError::bad("The head is malformed.")),
            Err(httparse::Error::HeaderName) => {
                Err(RequestError::bad("A field's name is malformed."))
            }
            Err(httparse::Error::HeaderValue) => {
                Err(RequestError::bad("A field's value has a forbidden character."))
            }
            Err(_) => Err(RequestError::bad("A field line is malformed.")),
        }
    }

    /// The values of the fields called `name` (in lower case), in their order, without the white space around them.
    pub fn values(self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let lines = if self.might_contain(name) { self.lines } else { &[] };
        let same = move |line: &&Header<'a>| line.name.eq_ignore_ascii_case(name);
        lines.iter().filter(same).map(|line| line.value.trim_ascii())
    }

    /// The value of the field called `name`, if it is there once.
    #[inline(always)]
    pub fn only(self, name: &'static str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The members of the comma-separated lists called `name`, over all their lines.
    pub fn list(self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(members)
    }

    /// Whether `member`, in any case, is one of the list called `name`.
    #[inline(always)]
    pub fn has_member(self, name: &'static str, member: &str) -> bool {
        self.might_contain(name)
            && self.list(name).any(|other| other.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Whether Accept names `media_type` itself, whatever its parameters. A star does not.
    pub fn accepts(self, media_type: &str) -> bool {
        let essence =
            |range: &'a [u8]| range.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        self.list("accept").any(|range| essence(range).eq_ignore_ascii_case(media_type.as_bytes()))
    }

    /// False where none is called `name`, which is known before any line is looked at. Always inlined, as is what begins with it:
    /// where the name stands in the program it is one bit.
    #[inline(always)]
    pub fn might_contain(self, name: &'static str) -> bool {
        self.marks & mark(name) != 0
    }
}

/// The members of a comma-separated list; empty ones are passed over (RFC 9110 section 5.6.1).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// One of 64 bits, by the length and the first letter. What browsers always send has no bit in common with what is looked for
/// and rarely there.
const fn mark(name: &str) -> u64 {
    match name.as_bytes() {
        [] => 0,
        [first, ..] => 1 << ((name.len() * 11 + first.to_ascii_lowercase() as usize) % 64),
    }
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn what_browsers_always_send_does_not_look_like_what_is_rarely_there() {
        let sent = "host connection cache-control pragma sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform user-agent accept \
                    upgrade-insecure-requests sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding \
                    accept-language referer cookie origin dnt priority te";
        let rare = "content-length transfer-encoding expect authorization if-match if-none-match if-modified-since \
                    if-unmodified-since range if-range";
        for (sent, rare) in
            sent.split(' ').flat_map(|sent| rare.split(' ').map(move |rare| (sent, rare)))
        {
            assert_ne!(mark(sent), mark(rare), "{sent} and {rare}");
        }
    }
}
