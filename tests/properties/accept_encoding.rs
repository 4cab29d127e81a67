//! The coding chosen for an Accept-Encoding is available, acceptable, and has the greatest weight.

use miniweb::http::{AcceptEncoding, Coding, HeaderStorage, Limits, Request};

/// Each line of `input` is the value of one Accept-Encoding header.
pub fn check(input: &[u8]) {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for value in input.split(|byte| *byte == b'\n') {
        head.extend_from_slice(b"Accept-Encoding: ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut storage = HeaderStorage::default();
    let Ok(request) = Request::parse(&head, &mut storage, &Limits::default()) else {
        return;
    };
    let accept_encoding = AcceptEncoding::parse(request.headers);

    // A member that is not ASCII cannot name a coding, so the lossy conversion is harmless.
    let text = String::from_utf8_lossy(input);
    for available in 0..8u8 {
        let available: Vec<Coding> =
            Coding::ALL.into_iter().filter(|c| available & (1 << *c as u8) != 0).collect();
        let weight = |coding: &Coding| naive_weight(&text, coding.token());
        let identity = named_weight(&text, "identity").unwrap_or(0);
        let best = available.iter().map(weight).max().unwrap_or(0);
        match accept_encoding.choose(available.iter().copied()) {
            Some(coding) => {
                assert!(available.contains(&coding));
                assert!(
                    best > 0 && best >= identity,
                    "{coding:?} is chosen, but no coding is acceptable"
                );
                assert_eq!(weight(&coding), best, "{coding:?} of {available:?}");
                let earlier = available.iter().take_while(|other| **other != coding);
                assert!(
                    earlier.map(weight).all(|weight| weight < best),
                    "an earlier coding has the same weight"
                );
            }
            None => assert!(
                best == 0 || best < identity,
                "none of {available:?} is chosen, but the best weight is {best}"
            ),
        }
    }
}

/// The weight of `coding` in thousandths, by its name or else by `*`.
fn naive_weight(text: &str, coding: &str) -> u32 {
    named_weight(text, coding).or_else(|| named_weight(text, "*")).unwrap_or(0)
}

/// The weight of the last well-formed member called `name`.
fn named_weight(text: &str, name: &str) -> Option<u32> {
    text.lines()
        .flat_map(|line| line.split(','))
        .filter_map(|member| member_weight(member, name))
        .next_back()
}

/// Parses `codings [ weight ]`; None if malformed or for a coding other than `name`.
fn member_weight(member: &str, name: &str) -> Option<u32> {
    let mut parts = member.split(';').map(|part| part.trim_matches([' ', '\t']));
    let (coding, parameter) = (parts.next()?.to_ascii_lowercase(), parts.next());
    let coding = if coding == "x-gzip" { "gzip" } else { &coding };
    if coding != name || parts.next().is_some() {
        return None;
    }
    let Some(parameter) = parameter else {
        return Some(1000);
    };
    let value = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_fraction = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u32 = format!("{fraction:0<3}").parse().ok().filter(|_| is_fraction)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
