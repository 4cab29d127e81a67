//! The Range parser: no byte beyond the file, and the same bytes as a naive implementation.

use miniweb::http::{ResolvedRange, resolve_range};

/// The first byte of `input` is the size of the file (255 stands for the maximum); the rest is the
/// value of the Range header.
pub fn check(input: &[u8]) {
    let Some((&size, value)) = input.split_first() else {
        return;
    };
    let size = if size == 255 { u64::MAX } else { u64::from(size) };
    let resolved = resolve_range(value, size);
    let parts = match &resolved {
        ResolvedRange::Full | ResolvedRange::Unsatisfiable => &[][..],
        ResolvedRange::Single(part) => std::slice::from_ref(part),
        ResolvedRange::Multiple(parts) => {
            assert!(parts.len() >= 2, "Multiple has only one range");
            parts
        }
    };
    for (n, part) in parts.iter().enumerate() {
        assert!(part.start < part.end && part.end <= size, "{part:?} of {size}");
        for other in &parts[..n] {
            assert!(
                part.end < other.start || other.end < part.start,
                "{part:?} and {other:?} touch"
            );
        }
    }
    // A header value contains no white space other than spaces and tabs.
    let is_field_value =
        value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    if size <= 254 && is_field_value {
        let bitmap: Vec<bool> =
            (0..size).map(|at| parts.iter().any(|part| part.contains(&at))).collect();
        match (resolved, naive(value, size)) {
            (ResolvedRange::Full, None) => {}
            (ResolvedRange::Unsatisfiable, Some(expected)) => {
                assert!(!expected.contains(&true), "{expected:?}")
            }
            (ResolvedRange::Single(_) | ResolvedRange::Multiple(_), Some(expected)) => {
                assert_eq!(bitmap, expected)
            }
            (resolved, expected) => {
                panic!("{resolved:?}, but the naive implementation finds {expected:?}")
            }
        }
    }
}

/// Which of `size` bytes are requested, or None if the header is ignored.
fn naive(value: &[u8], size: u64) -> Option<Vec<bool>> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, set) = text.split_once('=')?;
    let members: Vec<&str> = set
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    if !unit.eq_ignore_ascii_case("bytes") || members.is_empty() || members.len() > 16 {
        return None;
    }
    let mut bitmap = vec![false; size as usize];
    let mut requested_bytes = 0;
    for member in members {
        let (first, last) = member.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        match (first, last) {
            (Some(first), Some(last)) if last < first => return None,
            (None, None) => return None,
            _ => {}
        }
        for (at, bit) in bitmap.iter_mut().enumerate() {
            let (at, from_the_end) = (at as u128, (size as usize - at) as u128);
            let is_in = match (first, last) {
                (Some(first), last) => at >= first && last.is_none_or(|last| at <= last),
                (None, last) => last.is_some_and(|last| from_the_end <= last),
            };
            *bit |= is_in;
            requested_bytes += u64::from(is_in);
        }
    }
    // More bytes than the file has: some are requested twice.
    (requested_bytes <= size).then_some(bitmap)
}

/// Parses an optional number: None if malformed, Some(None) if empty.
fn number(text: &str) -> Option<Option<u128>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Every number beyond 64 bits is beyond the end of every file.
            Some(Some(digits.parse::<u128>().unwrap_or(u128::MAX).min(u128::from(u64::MAX))))
        }
        _ => None,
    }
}
