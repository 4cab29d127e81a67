//! Content codings, and their negotiation by Accept-Encoding (RFC 9110 section 12.5.3).

use super::headers::Headers;

/// A content coding in which a file may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// Every coding, in order of preference: usually smallest first.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// The name in Content-Encoding.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// The file name extension of a precompressed file, appended to the name of the original.
    pub fn extension(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// The weight that a client gives to each coding, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptEncoding {
    codings: [u16; 3],
    identity: u16,
}

impl AcceptEncoding {
    /// Parses Accept-Encoding. Without it, only the unencoded file is acceptable. Members that are
    /// malformed or unknown are ignored.
    pub fn parse(headers: Headers<'_>) -> AcceptEncoding {
        let mut named = [None; 3];
        let (mut identity, mut any) = (None, None);
        headers.list("accept-encoding").for_each(|member| {
            // A member has a few bytes, for which a loop is cheaper than memchr.
            let name_end = member.iter().position(|b| *b == b';').unwrap_or(member.len());
            let (name, parameters) = member.split_at(name_end);
            let name = name.trim_ascii();
            let Some(weight) = weight(parameters) else {
                return;
            };
            let slot = match name {
                b"*" => &mut any,
                name if name.eq_ignore_ascii_case(b"identity") => &mut identity,
                name if name.eq_ignore_ascii_case(b"x-gzip") => &mut named[Coding::Gzip as usize],
                name => match Coding::ALL
                    .iter()
                    .find(|coding| name.eq_ignore_ascii_case(coding.token().as_bytes()))
                {
                    Some(coding) => &mut named[*coding as usize],
                    None => return,
                },
            };
            *slot = Some(weight);
        });
        // `identity` is acceptable by default, but any coding that is listed is preferred to it.
        AcceptEncoding {
            codings: named.map(|weight| weight.or(any).unwrap_or(0)),
            identity: identity.unwrap_or(0),
        }
    }

    /// The available coding with the greatest weight, or None for the unencoded file. That is also
    /// the choice if nothing is acceptable, because it is more useful to a client than a 406. Of
    /// codings with equal weight it is the first, so `available` is in order of preference.
    pub fn choose(&self, available: impl IntoIterator<Item = Coding>) -> Option<Coding> {
        let weight = |coding: &Coding| self.codings[*coding as usize];
        let acceptable = available
            .into_iter()
            .filter(|coding| weight(coding) > 0 && weight(coding) >= self.identity);
        acceptable.min_by_key(|coding| std::cmp::Reverse(weight(coding)))
    }
}

/// The weight (`q`) in the parameters of a member: 1000 by default, None if malformed (RFC 9110
/// section 12.4.2).
fn weight(parameters: &[u8]) -> Option<u16> {
    let parameters = parameters.trim_ascii();
    let Some(q) = parameters.strip_prefix(b";") else {
        return parameters.is_empty().then_some(1000);
    };
    let q = q.trim_ascii();
    let digits = q.strip_prefix(b"q=").or_else(|| q.strip_prefix(b"Q="))?;
    match digits {
        b"1" | b"1." | b"1.0" | b"1.00" | b"1.000" => Some(1000),
        b"0" | b"0." => Some(0),
        [b'0', b'.', fraction @ ..]
            if fraction.len() <= 3 && fraction.iter().all(u8::is_ascii_digit) =>
        {
            let value =
                fraction.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
            Some(value * 10u16.pow(3 - fraction.len() as u32))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderStorage;

    fn chosen(accept: &str, available: &[Coding]) -> Option<&'static str> {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{accept}\r\n");
        let mut storage = HeaderStorage::default();
        let request = crate::http::Request::parse(
            head.as_bytes(),
            &mut storage,
            &crate::http::Limits::default(),
        );
        let accept_encoding = AcceptEncoding::parse(request.expect("a request").headers);
        accept_encoding.choose(available.iter().copied()).map(Coding::token)
    }

    #[test]
    fn the_available_coding_with_the_greatest_weight_is_chosen() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accept, available, coding) in [
            ("", &Coding::ALL[..], None),
            ("Accept-Encoding:\r\n", &Coding::ALL, None),
            ("Accept-Encoding: gzip, deflate, br, zstd\r\n", &Coding::ALL, Some("br")),
            ("Accept-Encoding: gzip, deflate, br, zstd\r\n", &[Gzip, Zstd], Some("gzip")),
            ("Accept-Encoding: gzip, deflate, br, zstd\r\n", &[Zstd, Gzip], Some("zstd")),
            (
                "Accept-Encoding: gzip\r\nAccept-Encoding: br;q=0.5\r\n",
                &[Brotli, Gzip],
                Some("gzip"),
            ),
            ("Accept-Encoding: GZIP;Q=0.001\r\n", &[Gzip], Some("gzip")),
            ("Accept-Encoding: x-gzip\r\n", &[Gzip], Some("gzip")),
            ("Accept-Encoding: *\r\n", &[Gzip], Some("gzip")),
            ("Accept-Encoding: *, gzip;q=0\r\n", &[Gzip], None),
            ("Accept-Encoding: br;q=0, *;q=0.1\r\n", &[Brotli, Gzip], Some("gzip")),
            ("Accept-Encoding: gzip;q=0\r\n", &[Gzip], None),
            ("Accept-Encoding: identity, gzip;q=0.5\r\n", &[Gzip], None),
            ("Accept-Encoding: identity;q=0.5, gzip;q=0.5\r\n", &[Gzip], Some("gzip")),
            ("Accept-Encoding: identity;q=0\r\n", &[Gzip], None),
            ("Accept-Encoding: gzip;q=2\r\n", &[Gzip], None),
            ("Accept-Encoding: gzip;q=0.1234\r\n", &[Gzip], None),
            ("Accept-Encoding: gzip;level=9\r\n", &[Gzip], None),
            ("Accept-Encoding: compress, ,\r\n", &Coding::ALL, None),
        ] {
            assert_eq!(chosen(accept, available), coding, "{accept:?} {available:?}");
        }
    }
}
