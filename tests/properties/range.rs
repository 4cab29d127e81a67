//! The Range parser: nothing outside the file, and the same bytes as by a naive reading.

use miniweb::http::{ResolvedRange, resolve_range};

/// The first byte of `input` is the size of the file, 255 for the largest there can be; the rest is the field's value.
pub fn check(input: &[u8]) {
    let Some((&size, value)) = input.split_first() else {
        return;
    };
    let size = if size == 255 { u64::MAX } else { u64::from(size) };
    let selection = resolve_range(value, size);
    let parts = match &selection {
        ResolvedRange::Full | ResolvedRange::Unsatisfiable => &[][..],
        ResolvedRange::Single(part) => std::slice::from_ref(part),
        ResolvedRange::Multiple(parts) => {
            assert!(parts.len() >= 2, "one part is never many");
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
    // White space other than these two never reaches a field's value.
    let is_field_value =
        value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    if size <= 254 && is_field_value {
        let bitmap: Vec<bool> =
            (0..size).map(|at| parts.iter().any(|part| part.contains(&at))).collect();
        match (selection, naive(value, size)) {
            (ResolvedRange::Full, None) => {}
            (ResolvedRange::Unsatisfiable, Some(expected)) => {
                assert!(!expected.contains(&true), "{expected:?}")
            }
            (ResolvedRange::Single(_) | ResolvedRange::Multiple(_), Some(expected)) => {
                assert_eq!(bitmap, expected)
            }
            (selection, expected) => panic!("{selection:?}, and by a naive reading {expected:?}"),
        }
    }
}

/// Which of `size` bytes are asked for; None where all of the file is sent instead.
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
    let mut asked_for = 0;
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
            asked_for += u64::from(is_in);
        }
    }
    // More than the file has: some of it twice.
    (asked_for <= size).then_some(bitmap)
}

/// None for what is no number, Some(None) for nothing at all.
fn number(text: &str) -> Option<Option<u128>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // What 64 bits can't hold is all the same: beyond the end of every file.
            Some(Some(digits.parse::<u128>().unwrap_or(u128::MAX).min(u128::from(u64::MAX))))
        }
        _ => None,
    }
}
