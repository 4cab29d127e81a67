//! A second, strict parser for RFC 9112: what is a request, and where does it end?
//!
//! It follows the grammar rule by rule, shares no code with the server, and has no limits. Comments
//! mark each place where it accepts more than the RFC.

/// Why parsing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// More bytes may complete it.
    Incomplete,
    /// No continuation is well-formed.
    Malformed(&'static str),
}

pub type Parsed<T> = Result<T, Stop>;

/// A parsed request head.
#[derive(Debug)]
pub struct Head<'a> {
    /// The request line, without its CRLF.
    pub line: &'a [u8],
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// The digit after `HTTP/1.`.
    pub minor_version: u8,
    /// Names as received, values without surrounding white space.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The length of the head, including the empty line.
    pub bytes: usize,
}

/// How the length of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Consumes bytes from the front of the input.
struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(all: &'a [u8]) -> Cursor<'a> {
        Cursor { all, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.all[self.at..]
    }

    /// `*( class )`
    fn many(&mut self, class: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// `1*( class )`
    fn some(&mut self, class: impl Fn(u8) -> bool, what: &'static str) -> Parsed<&'a [u8]> {
        match self.many(class) {
            b"" if self.rest().is_empty() => Err(Stop::Incomplete),
            b"" => Err(Stop::Malformed(what)),
            taken => Ok(taken),
        }
    }

    fn literal(&mut self, text: &[u8]) -> Parsed<()> {
        for byte in text {
            match self.rest().first() {
                Some(next) if next == byte => self.at += 1,
                Some(_) => {
                    return Err(Stop::Malformed("an unexpected character"));
                }
                None => return Err(Stop::Incomplete),
            }
        }
        Ok(())
    }
}

/// The request at the start of `bytes`: its head, the framing of its body, and its total length.
pub fn request(bytes: &[u8]) -> Parsed<(Head<'_>, Framing, usize)> {
    let head = head(bytes)?;
    let framing = framing(&head)?;
    let rest = &bytes[head.bytes..];
    let body_bytes = match framing {
        Framing::None => 0,
        Framing::Length(length) if length <= rest.len() as u64 => length as usize,
        Framing::Length(_) => return Err(Stop::Incomplete),
        Framing::Chunked => chunked_body(rest)?,
    };
    let bytes = head.bytes + body_bytes;
    Ok((head, framing, bytes))
}

/// `request-line CRLF *( field-line CRLF ) CRLF`
pub fn head(bytes: &[u8]) -> Parsed<Head<'_>> {
    let mut cursor = Cursor::new(bytes);
    let method = cursor.some(is_tchar, "no method")?;
    cursor.literal(b" ")?;
    let target = cursor.some(is_target_byte, "no target")?;
    cursor.literal(b" HTTP/1.")?;
    let minor_version = cursor.some(|byte| byte.is_ascii_digit(), "no version")?;
    let &[minor_version] = minor_version else {
        return Err(Stop::Malformed("a minor version of several digits"));
    };
    let line = &bytes[..cursor.at];
    cursor.literal(b"\r\n")?;
    let headers = field_lines(&mut cursor)?;
    let head = Head {
        line,
        method,
        target,
        minor_version: minor_version - b'0',
        headers,
        bytes: cursor.at,
    };
    check_target(&head)?;
    check_host(&head)?;
    Ok(head)
}

/// `*( field-line CRLF ) CRLF`
fn field_lines<'a>(cursor: &mut Cursor<'a>) -> Parsed<Vec<(&'a [u8], &'a [u8])>> {
    let mut headers = Vec::new();
    while cursor.rest().first() != Some(&b'\r') {
        let name = cursor.some(is_tchar, "no field name")?;
        cursor.literal(b":")?;
        let value = cursor.many(is_text);
        cursor.literal(b"\r\n")?;
        headers.push((name, without_white_space(value)));
    }
    cursor.literal(b"\r\n")?;
    Ok(headers)
}

/// The length of a chunked body (section 7.1).
pub fn chunked_body(bytes: &[u8]) -> Parsed<usize> {
    let mut cursor = Cursor::new(bytes);
    loop {
        let digits = cursor.some(|byte| byte.is_ascii_hexdigit(), "no chunk size")?;
        let size = digits.iter().fold(0u128, |size, digit| {
            size.saturating_mul(16)
                .saturating_add(u128::from((*digit as char).to_digit(16).unwrap_or(0)))
        });
        chunk_extensions(&mut cursor)?;
        cursor.literal(b"\r\n")?;
        if size == 0 {
            field_lines(&mut cursor)?;
            return Ok(cursor.at);
        }
        if size > cursor.rest().len() as u128 {
            return Err(Stop::Incomplete);
        }
        cursor.at += size as usize;
        cursor.literal(b"\r\n")?;
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (section 7.1.1).
fn chunk_extensions(cursor: &mut Cursor<'_>) -> Parsed<()> {
    loop {
        let white_space = cursor.many(is_white_space);
        match cursor.rest().first() {
            Some(b';') => cursor.at += 1,
            Some(_) if white_space.is_empty() => return Ok(()),
            Some(_) => return Err(Stop::Malformed("white space that no extension follows")),
            None => return Err(Stop::Incomplete),
        }
        cursor.many(is_white_space);
        cursor.some(is_tchar, "no name of a chunk extension")?;
        let after_name = cursor.at;
        cursor.many(is_white_space);
        if cursor.rest().first() != Some(&b'=') {
            // The white space belongs to the next extension.
            cursor.at = after_name;
            continue;
        }
        cursor.at += 1;
        cursor.many(is_white_space);
        match cursor.rest().first() {
            Some(b'"') => quoted_string(cursor)?,
            _ => drop(cursor.some(is_tchar, "no value of a chunk extension")?),
        }
    }
}

/// `DQUOTE *( qdtext / quoted-pair ) DQUOTE` (RFC 9110 section 5.6.4).
fn quoted_string(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.literal(b"\"")?;
    loop {
        cursor.many(|byte| is_text(byte) && !b"\"\\".contains(&byte));
        match cursor.rest() {
            [b'"', ..] => {
                cursor.at += 1;
                return Ok(());
            }
            [b'\\', escaped, ..] if is_text(*escaped) => cursor.at += 2,
            [] | [b'\\'] => return Err(Stop::Incomplete),
            _ => return Err(Stop::Malformed("a control character in a quoted string")),
        }
    }
}

/// Section 6.3. Refuses everything that a recipient may refuse.
pub fn framing(head: &Head<'_>) -> Parsed<Framing> {
    let codings: Vec<&[u8]> = head.list("transfer-encoding");
    let has_coding = head.values("transfer-encoding").next().is_some();
    let lengths: Vec<&[u8]> =
        head.values("content-length").flat_map(|value| value.split(|b| *b == b',')).collect();
    match (has_coding, lengths.is_empty()) {
        (false, true) => Ok(Framing::None),
        (true, true) if head.minor_version == 0 => {
            Err(Stop::Malformed("a transfer coding in HTTP/1.0"))
        }
        (true, true) if codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (true, true) => Err(Stop::Malformed("a transfer coding other than chunked")),
        (true, false) => Err(Stop::Malformed("Content-Length and Transfer-Encoding")),
        (false, false) => content_length(&lengths),
    }
}

fn content_length(lengths: &[&[u8]]) -> Parsed<Framing> {
    let mut number = None;
    for text in lengths.iter().map(|text| without_white_space(text)) {
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(Stop::Malformed("a Content-Length that is not a number"));
        }
        let significant: &[u8] = &text[text.iter().take_while(|digit| **digit == b'0').count()..];
        if significant.len() > 20 || number.is_some_and(|number| number != significant) {
            return Err(Stop::Malformed("a Content-Length beyond 64 bits, or two different ones"));
        }
        number = Some(significant);
    }
    let digits = number.unwrap_or_default().iter();
    let number = digits.fold(0u128, |number, digit| number * 10 + u128::from(digit - b'0'));
    match u64::try_from(number) {
        Ok(0) => Ok(Framing::None),
        Ok(length) => Ok(Framing::Length(length)),
        Err(_) => Err(Stop::Malformed("a Content-Length beyond 64 bits")),
    }
}

impl<'a> Head<'a> {
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let same =
            move |header: &&(&'a [u8], &'a [u8])| header.0.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(same).map(|header| header.1)
    }

    /// `#element` across all lines, without empty elements.
    pub fn list(&self, name: &'static str) -> Vec<&'a [u8]> {
        let members = self.values(name).flat_map(|value| value.split(|b| *b == b','));
        members.map(without_white_space).filter(|member| !member.is_empty()).collect()
    }

    /// Section 9.3.
    pub fn persists(&self) -> bool {
        let has = |option: &[u8]| {
            self.list("connection").iter().any(|member| member.eq_ignore_ascii_case(option))
        };
        !has(b"close") && (self.minor_version > 0 || has(b"keep-alive"))
    }

    /// The path and the query of a target in origin-form or absolute-form.
    pub fn path_and_query(&self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let rest = match without_scheme(self.target) {
            _ if self.method == b"CONNECT" => return None,
            Some(rest) => &rest[authority(rest).len()..],
            None if self.target.starts_with(b"/") => self.target,
            None => return None,
        };
        let mut halves = rest.splitn(2, |byte| *byte == b'?');
        let path = halves.next().filter(|path| !path.is_empty()).unwrap_or(b"/");
        Some((path, halves.next()))
    }
}

/// Section 3.2.
fn check_target(head: &Head<'_>) -> Parsed<()> {
    if std::str::from_utf8(head.target).is_err() {
        return Err(Stop::Malformed("a target that is not UTF-8"));
    }
    let is_valid = match head.target {
        // Wider than the RFC: the port is optional, because CONNECT is always refused.
        target if head.method == b"CONNECT" => {
            is_host_and_port(target) && !matches!(target, b"" | [b':', ..])
        }
        [b'/', ..] => true,
        b"*" => head.method == b"OPTIONS",
        target => match without_scheme(target) {
            // RFC 9110 section 4.2.1: an http URL without a host must be rejected.
            Some(rest) => {
                is_host_and_port(authority(rest)) && !matches!(authority(rest), b"" | [b':', ..])
            }
            None => false,
        },
    };
    is_valid.then_some(()).ok_or(Stop::Malformed("not a form of request target"))
}

fn without_scheme(target: &[u8]) -> Option<&[u8]> {
    let lower = target.to_ascii_lowercase();
    ["http://", "https://"]
        .iter()
        .find(|scheme| lower.starts_with(scheme.as_bytes()))
        .map(|s| &target[s.len()..])
}

fn authority(rest: &[u8]) -> &[u8] {
    &rest[..rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len())]
}

/// Section 3.2: exactly one Host, which may be absent in HTTP/1.0.
fn check_host(head: &Head<'_>) -> Parsed<()> {
    let hosts: Vec<&[u8]> = head.values("host").collect();
    match hosts[..] {
        [] if head.minor_version == 0 => Ok(()),
        [host] if is_host_and_port(host) => Ok(()),
        _ => Err(Stop::Malformed("not exactly one valid Host")),
    }
}

/// RFC 3986 section 3.2: `host [ ":" port ]`. Narrower than the RFC: a port has at most 16 bits.
fn is_host_and_port(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let is_host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').is_some_and(is_ip_literal),
        None => is_registered_name(host.as_bytes()),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let significant = port.trim_start_matches('0');
    let is_small = significant.len() < 5 || significant.len() == 5 && significant <= "65535";
    is_host && is_number && is_small
}

fn is_ip_literal(text: &str) -> bool {
    let is_future = || {
        let (version, address) = text.strip_prefix(['v', 'V'])?.split_once('.')?;
        let is_version =
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_address =
            !address.is_empty() && address.bytes().all(|byte| is_name_byte(byte) || byte == b':');
        (is_version && is_address).then_some(())
    };
    text.parse::<std::net::Ipv6Addr>().is_ok() || is_future().is_some()
}

fn is_registered_name(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'%');
    let is_name = |part: &[u8]| part.iter().all(|byte| is_name_byte(*byte));
    let is_encoded = |part: &[u8]| {
        part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit) && is_name(part)
    };
    parts.next().is_none_or(is_name) && parts.all(is_encoded)
}

/// `unreserved / sub-delims`
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// RFC 9110 section 5.6.2.
pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `HTAB / SP / VCHAR / obs-text`
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Wider than the RFC: all visible ASCII except `#`, and all bytes beyond ASCII, of which
/// `check_target` accepts UTF-8. Browsers and curl leave some of them unencoded, and they are
/// unambiguous. A target has no fragment.
fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

fn without_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
