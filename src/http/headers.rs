//! The header fields of a request. httparse is used only in this file.

use std::ops::Range;

use arrayvec::ArrayVec;
use httparse::Header;

use super::head::Head;
use super::request_error::RequestError;

/// The maximum number of header lines in one head (hyper and h2o: 100). Beyond it: 431.
const HEADERS_MAX: usize = 100;

/// Reusable storage for the parsed headers of one head at a time.
///
/// Only the entries that are used are written. Initialising all of them, three kilobytes, would be
/// a measurable part of the cost of a request.
#[derive(Default)]
pub struct HeaderStorage<'a>(ArrayVec<Header<'a>, HEADERS_MAX>);

/// The header fields of one request, in the order received.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    lines: &'a [Header<'a>],
    /// A Bloom filter over the header names, with one hash function, [`bloom_bit`]. Most requests
    /// have none of the headers that a lookup asks for; one bit test then replaces a scan of all
    /// lines. A false positive costs that scan and nothing else.
    name_filter: u64,
}

/// Headers by their offsets in the head that they were parsed from.
#[derive(Debug)]
pub(super) struct HeaderOffsets {
    lines: Box<[LineOffsets]>,
    name_filter: u64,
}

#[derive(Debug)]
struct LineOffsets {
    name: Range<usize>,
    value: Range<usize>,
}

impl HeaderOffsets {
    /// The offsets of `headers`, which were parsed from `head`.
    pub(super) fn of(headers: Headers<'_>, head: &[u8]) -> HeaderOffsets {
        let offsets_of = |part| offsets(part, head).expect("headers borrow from their head");
        let lines = headers.lines.iter().map(|line| LineOffsets {
            name: offsets_of(line.name.as_bytes()),
            value: offsets_of(line.value),
        });
        HeaderOffsets { lines: lines.collect(), name_filter: headers.name_filter }
    }

    /// The headers, borrowed from a copy of the same head.
    pub(super) fn resolve<'a, 'h>(
        &self,
        head: &'a [u8],
        storage: &'h mut HeaderStorage<'a>,
    ) -> Headers<'h> {
        let HeaderStorage(storage) = storage;
        storage.clear();
        storage.extend(self.lines.iter().map(|line| Header {
            name: str::from_utf8(&head[line.name.clone()]).expect("header names are ASCII tokens"),
            value: &head[line.value.clone()],
        }));
        Headers { lines: storage, name_filter: self.name_filter }
    }
}

/// Where `part` lies in `whole`; None if it lies elsewhere.
pub(super) fn offsets(part: &[u8], whole: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start + part.len();
    (end <= whole.len()).then_some(start..end)
}

impl<'a> Headers<'a> {
    pub(super) fn parse<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
    ) -> Result<Headers<'h>, RequestError> {
        let HeaderStorage(storage) = storage;
        if head.header_lines > HEADERS_MAX {
            return Err(RequestError::TooManyHeaders);
        }
        storage.clear();
        storage.extend(std::iter::repeat_n(httparse::EMPTY_HEADER, head.header_lines));
        match httparse::parse_headers(head.headers(), storage) {
            Ok(httparse::Status::Complete((_, lines))) => Ok(Headers {
                lines,
                name_filter: lines.iter().fold(0, |filter, line| filter | bloom_bit(line.name)),
            }),
            Err(httparse::Error::HeaderName) => Err(RequestError::InvalidHeaderName),
            Err(httparse::Error::HeaderValue) => Err(RequestError::InvalidHeaderValue),
            Ok(httparse::Status::Partial) | Err(_) => Err(RequestError::MalformedHeader),
        }
    }

    /// The number of header lines.
    pub(super) fn len(self) -> usize {
        self.lines.len()
    }

    /// The values of every header called `name` (in lower case), without surrounding white space.
    pub fn values(self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let lines = if self.might_contain(name) { self.lines } else { &[] };
        let has_name = move |line: &&Header<'a>| line.name.eq_ignore_ascii_case(name);
        lines.iter().filter(has_name).map(|line| line.value.trim_ascii())
    }

    /// The value of the header called `name`, if there is exactly one.
    #[inline(always)]
    pub fn only(self, name: &'static str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The members of the comma-separated list in the headers called `name`, across all lines.
    pub fn list(self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.values(name).flat_map(members)
    }

    /// Whether the list in the headers called `name` contains `member`, ignoring case.
    #[inline(always)]
    pub fn has_member(self, name: &'static str, member: &str) -> bool {
        self.might_contain(name)
            && self.list(name).any(|other| other.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Whether Accept lists `media_type` by name, with any parameters but a weight of zero, which
    /// means "not acceptable" (RFC 9110 section 12.4.2). `*/*` does not count.
    pub fn accepts(self, media_type: &str) -> bool {
        self.list("accept").any(|range| {
            let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let essence = parts.next().unwrap_or_default();
            essence.eq_ignore_ascii_case(media_type.as_bytes()) && !parts.any(is_zero_weight)
        })
    }

    /// False if there is certainly no header called `name`; true if there may be one.
    ///
    /// Always inlined, as are the methods that call it first: with a constant name, the bit is
    /// computed at compile time.
    #[inline(always)]
    pub fn might_contain(self, name: &'static str) -> bool {
        self.name_filter & bloom_bit(name) != 0
    }
}

/// Whether a parameter is `q=0`, with up to three decimals.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    weight.is_some_and(|weight| matches!(weight, b"0" | b"0." | b"0.0" | b"0.00" | b"0.000"))
}

/// The members of a comma-separated list; empty members are ignored (RFC 9110 section 5.6.1).
fn members(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The bit of `name` in the Bloom filter: a hash of its length and first letter, in either case.
///
/// The factor is chosen so that no header that browsers always send shares a bit with a header
/// that lookups ask for and that is rarely present.
const fn bloom_bit(name: &str) -> u64 {
    match name.as_bytes() {
        [] => 0,
        [first, ..] => 1 << ((name.len() * 11 + first.to_ascii_lowercase() as usize) % 64),
    }
}

#[cfg(test)]
mod tests {
    use super::bloom_bit;

    #[test]
    fn headers_that_browsers_always_send_share_no_bit_with_rarely_sent_ones() {
        let always_sent = "host connection cache-control pragma sec-ch-ua sec-ch-ua-mobile \
                           sec-ch-ua-platform user-agent accept upgrade-insecure-requests \
                           sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest \
                           accept-encoding accept-language referer cookie origin dnt priority te";
        let rarely_sent = "content-length transfer-encoding expect authorization if-match \
                           if-none-match if-modified-since if-unmodified-since range if-range";
        for always in always_sent.split(' ') {
            for rarely in rarely_sent.split(' ') {
                assert_ne!(bloom_bit(always), bloom_bit(rarely), "{always} and {rarely}");
            }
        }
    }
}
