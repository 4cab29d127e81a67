//! The formats of the access log: one response → one line.
//!
//! Invariants:
//! 1. A line is one line. Bytes that a client chooses (the request line, Referer, User-Agent) are
//!    escaped, so no client can forge a line or move a terminal's cursor.
//! 2. A line is at most [`LINE_BYTES_MAX`] long, whatever the strategy: longer values are cut, and
//!    end in an ellipsis.

use std::io::Write;

use super::client::Peer;
use super::line_writer::WRITE_BYTES_MAX;
use super::tls::TlsParameters;
use crate::format;
use crate::http::{Exchange, Now};

/// The longest line, including its line feed: what is written as a whole, so that no line is torn
/// even where several programs write to one pipe.
pub const LINE_BYTES_MAX: usize = WRITE_BYTES_MAX;
/// The longest request line, escaped. Of a longer one the target is cut, and the version is kept.
const REQUEST_BYTES_MAX: usize = 2048;
/// The longest value of Referer and of User-Agent, escaped. All other fields together take less
/// than the 512 bytes that are left.
const HEADER_BYTES_MAX: usize = 768;

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// No log.
    None,
    /// For a person at a terminal: status, request, size, time, client.
    Short,
    /// The Common Log Format of NCSA httpd, with times in UTC.
    Common,
    /// The format of Apache of that name: the Common Log Format, with Referer and User-Agent.
    Combined,
    /// One JSON object per line.
    Json,
}

/// Appends the line of one response.
pub fn write_line(
    format: LogFormat,
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) {
    // Writing to a Vec cannot fail.
    let _ = match format {
        LogFormat::None => Ok(()),
        LogFormat::Short => short_line(out, exchange, client, now),
        LogFormat::Common => common_line(out, exchange, client, now),
        LogFormat::Combined => combined_line(out, exchange, client, now),
        LogFormat::Json => json_line(out, exchange, client, now),
    };
}

fn short_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) -> std::io::Result<()> {
    write!(out, "{} ", exchange.status.code())?;
    // Almost every request is HTTP/1.1.
    let line = &exchange.request_line;
    let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
    request(out, if line.is_empty() { b"-" } else { line }, escape);
    write!(
        out,
        "  {}  {}",
        format::bytes(exchange.body_bytes),
        format::time(now.moment.since(exchange.started))
    )?;
    if let Some(client) = client.address {
        write!(out, "  {client}")?;
    }
    out.extend_from_slice(if exchange.complete { b"\n" } else { b"  cut short\n" });
    Ok(())
}

fn common_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) -> std::io::Result<()> {
    common_fields(out, exchange, client, now)?;
    out.push(b'\n');
    Ok(())
}

fn combined_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) -> std::io::Result<()> {
    common_fields(out, exchange, client, now)?;
    for value in [&exchange.referer, &exchange.user_agent] {
        out.extend_from_slice(b" \"");
        escape(out, value.as_deref().unwrap_or(b"-"), HEADER_BYTES_MAX);
        out.push(b'"');
    }
    out.push(b'\n');
    Ok(())
}

/// What a line of the formats `common` and `combined` begins with.
fn common_fields(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) -> std::io::Result<()> {
    match client.address {
        Some(client) => write!(out, "{client} - - [")?,
        None => write!(out, "- - - [")?,
    }
    // "Sun, 06 Nov 1994 08:49:37 GMT" → "06/Nov/1994:08:49:37 +0000"
    let date = now.date.as_bytes();
    for part in
        [&date[5..7], b"/", &date[8..11], b"/", &date[12..16], b":", &date[17..25], b" +0000] \""]
    {
        out.extend_from_slice(part);
    }
    request(out, &exchange.request_line, escape);
    write!(out, "\" {} {}", exchange.status.code(), exchange.body_bytes)
}

fn json_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: Peer,
    now: &Now,
) -> std::io::Result<()> {
    let seconds = now.wall.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    write!(out, "{{\"time\":{seconds},\"status\":{},\"request\":\"", exchange.status.code())?;
    request(out, &exchange.request_line, format::json_escaped);
    let micros = now.moment.since(exchange.started).as_micros();
    write!(
        out,
        "\",\"body_bytes\":{},\"complete\":{},\"duration_us\":{micros}",
        exchange.body_bytes, exchange.complete
    )?;
    if let Some(client) = client.address {
        write!(out, ",\"peer\":\"{client}\"")?;
    }
    if let Some(TlsParameters { version, cipher }) = client.tls {
        write!(out, ",\"tls\":\"{version}\",\"cipher\":\"{cipher}\"")?;
    }
    for (name, value) in [("referer", &exchange.referer), ("user_agent", &exchange.user_agent)] {
        if let Some(value) = value {
            write!(out, ",\"{name}\":\"")?;
            format::json_escaped(out, value, HEADER_BYTES_MAX);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends the request line, escaped by `escape`, which takes the most bytes to append.
fn request(out: &mut Vec<u8>, line: &[u8], escape: fn(&mut Vec<u8>, &[u8], usize)) {
    let (start, version) = match line.split_last_chunk() {
        Some((start, version @ [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]))
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            (start, &version[..])
        }
        _ => (line, &b""[..]),
    };
    escape(out, start, REQUEST_BYTES_MAX - version.len());
    out.extend_from_slice(version);
}

/// Appends control characters, bytes that are not ASCII, quotes and backslashes as `\xHH`.
fn escape(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    format::push_within(out, text.iter(), bytes_max, "...", |out, byte| match byte {
        b' ' | b'!' | b'#'..=b'[' | b']'..=b'~' => out.push(*byte),
        _ => out.extend_from_slice(format!("\\x{byte:02X}").as_bytes()),
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::http::{Moment, Status};

    const FORMATS: [LogFormat; 4] =
        [LogFormat::Short, LogFormat::Common, LogFormat::Combined, LogFormat::Json];

    fn line(format: LogFormat, request_line: &[u8], header: &[u8]) -> String {
        let exchange = Exchange {
            request_line: request_line.into(),
            referer: Some(header.into()),
            user_agent: Some(header.into()),
            forwarded_for: None,
            status: Status::RequestHeaderFieldsTooLarge,
            body_bytes: u64::MAX,
            complete: false,
            started: Moment::default(),
        };
        let wall: SystemTime = UNIX_EPOCH + Duration::from_secs(u32::MAX.into());
        let now = Now::new(Moment::new(Duration::MAX), wall);
        let mut out = Vec::new();
        let peer = Peer {
            address: Some(Ipv6Addr::from([0xff; 16]).into()),
            tls: Some(TlsParameters {
                version: "TLSv1.3",
                cipher: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            }),
        };
        write_line(format, &mut out, &exchange, peer, &now);
        String::from_utf8(out).expect("a line is UTF-8")
    }

    #[test]
    fn no_line_is_longer_than_the_limit() {
        let texts = ["a", "\"", "\x1b", "ü", "\u{9b}", "\u{2028}", "€", "\u{e0001}"];
        let inputs = texts.iter().map(|text| text.as_bytes()).chain([&b"\xff"[..], b"\xe2\x82"]);
        for text in inputs.map(|text| text.repeat(32 * 1024)) {
            for format in FORMATS {
                let line = line(format, &text, &text);
                assert!(line.len() <= LINE_BYTES_MAX, "{format:?}: {} bytes", line.len());
                assert!(line.find('\n') == Some(line.len() - 1), "{format:?}: {line}");
                if format == LogFormat::Json {
                    serde_json::from_str::<serde_json::Value>(&line)
                        .unwrap_or_else(|error| panic!("{error}: {line}"));
                }
            }
        }
    }

    #[test]
    fn a_long_target_is_cut_before_the_version() {
        let request = format!("GET /{} HTTP/1.0", "x".repeat(8000));
        for (format, cut) in FORMATS.into_iter().zip(["...", "...", "...", "…"]) {
            let line = line(format, request.as_bytes(), b"");
            assert!(line.contains(&format!("xxx{cut} HTTP/1.0")), "{format:?}: {line}");
        }
    }

    #[test]
    fn values_up_to_their_limit_are_whole() {
        let request = format!("GET /{} HTTP/1.1", "x".repeat(REQUEST_BYTES_MAX - 14));
        let header = "y".repeat(HEADER_BYTES_MAX);
        let combined = line(LogFormat::Combined, request.as_bytes(), header.as_bytes());
        assert!(combined.contains(&format!("\"{request}\"")), "{combined}");
        assert!(combined.ends_with(&format!(" \"{header}\" \"{header}\"\n")), "{combined}");
        let line = line(LogFormat::Json, request.as_bytes(), header.as_bytes());
        let object: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(object["request"], request);
        assert_eq!(
            (&object["referer"], &object["user_agent"]),
            (&header.clone().into(), &header.into())
        );
    }
}
