//! The formats of the access log: one response → one line.
//!
//! Invariant: a line is one line. Bytes that a client chooses (the request line, Referer,
//! User-Agent) are escaped, so no client can forge a line or move a terminal's cursor.

use std::io::Write;
use std::net::IpAddr;

use crate::format;
use crate::http::{Exchange, Now};

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// No log.
    None,
    /// For a person at a terminal: status, request, size, time, client.
    Short,
    /// The Common Log Format of NCSA httpd, with times in UTC.
    Common,
    /// One JSON object per line.
    Json,
}

/// Appends the line of one response.
pub fn write_line(
    format: LogFormat,
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) {
    // Writing to a Vec cannot fail.
    let _ = match format {
        LogFormat::None => Ok(()),
        LogFormat::Short => short_line(out, exchange, peer, now),
        LogFormat::Common => common_line(out, exchange, peer, now),
        LogFormat::Json => json_line(out, exchange, peer, now),
    };
}

fn short_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    write!(out, "{} ", exchange.status.code())?;
    // Almost every request is HTTP/1.1.
    let line = &exchange.request_line;
    let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
    escape(out, if line.is_empty() { b"-" } else { line }, b"");
    write!(
        out,
        "  {}  {}",
        format::bytes(exchange.body_bytes),
        format::time(now.moment.since(exchange.started))
    )?;
    if let Some(peer) = peer {
        write!(out, "  {peer}")?;
    }
    out.extend_from_slice(if exchange.complete { b"\n" } else { b"  cut short\n" });
    Ok(())
}

fn common_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    match peer {
        Some(peer) => write!(out, "{peer} - - [")?,
        None => write!(out, "- - - [")?,
    }
    // "Sun, 06 Nov 1994 08:49:37 GMT" → "06/Nov/1994:08:49:37 +0000"
    let date = now.date.as_bytes();
    for part in
        [&date[5..7], b"/", &date[8..11], b"/", &date[12..16], b":", &date[17..25], b" +0000] \""]
    {
        out.extend_from_slice(part);
    }
    escape(out, &exchange.request_line, b"\"\\");
    write!(out, "\" {} {}", exchange.status.code(), exchange.body_bytes)?;
    out.push(b'\n');
    Ok(())
}

fn json_line(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    peer: Option<IpAddr>,
    now: &Now,
) -> std::io::Result<()> {
    let seconds = now.wall.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    write!(out, "{{\"time\":{seconds},\"status\":{},\"request\":", exchange.status.code())?;
    format::json_string(out, &exchange.request_line);
    let micros = now.moment.since(exchange.started).as_micros();
    write!(
        out,
        ",\"body_bytes\":{},\"complete\":{},\"duration_us\":{micros}",
        exchange.body_bytes, exchange.complete
    )?;
    if let Some(peer) = peer {
        write!(out, ",\"peer\":\"{peer}\"")?;
    }
    for (name, value) in [("referer", &exchange.referer), ("user_agent", &exchange.user_agent)] {
        if let Some(value) = value {
            write!(out, ",\"{name}\":")?;
            format::json_string(out, value);
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Writes control characters, bytes that are not ASCII and those in `also` as `\xHH`.
fn escape(out: &mut Vec<u8>, text: &[u8], also: &[u8]) {
    for byte in text {
        match byte {
            b' '..=b'~' if !also.contains(byte) => out.push(*byte),
            _ => out.extend_from_slice(format!("\\x{byte:02X}").as_bytes()),
        }
    }
}
