//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

use arrayvec::ArrayVec;

/// The maximum number of ranges in one request. Beyond it, the whole representation is sent: the
/// head of each part costs the server work, which has been used for denial of service (RFC 9110
/// section 17.15).
const RANGES_MAX: usize = 16;

/// The result of applying a Range header to a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedRange {
    /// The whole representation, because the header is ignored.
    Full,
    /// A single range; never empty, never beyond the end.
    Single(Range<u64>),
    /// Two or more ranges that neither touch nor overlap, in the order of the request.
    Multiple(Vec<Range<u64>>),
    /// No requested range overlaps the representation: 416.
    Unsatisfiable,
}

/// Applies the value of a Range header to a representation of `size` bytes. A value that is
/// malformed or uses another unit is ignored (RFC 9110 section 14.2).
pub fn resolve_range(value: &[u8], size: u64) -> ResolvedRange {
    let Some(specs) = parse(value) else {
        return ResolvedRange::Full;
    };
    let ranges: ArrayVec<Range<u64>, RANGES_MAX> =
        specs.iter().filter_map(|spec| spec.resolve(size)).collect();
    // Ranges that together exceed the representation request some bytes twice.
    let total =
        ranges.iter().try_fold(0u64, |total, range| total.checked_add(range.end - range.start));
    if total.is_none_or(|total| total > size) {
        return ResolvedRange::Full;
    }
    match &ranges[..] {
        [] => ResolvedRange::Unsatisfiable,
        [range] => ResolvedRange::Single(range.clone()),
        several => match <[Range<u64>; 1]>::try_from(coalesce(several)) {
            Ok([range]) => ResolvedRange::Single(range),
            Err(several) => ResolvedRange::Multiple(several),
        },
    }
}

/// One `range-spec` of RFC 9110 section 14.1.1, independent of the size of a representation.
#[derive(Clone, Copy, Debug)]
enum RangeSpec {
    /// `first-last`
    Closed { first: u64, last: u64 },
    /// `first-`
    Open { first: u64 },
    /// `-bytes`
    Suffix { bytes: u64 },
}

impl RangeSpec {
    /// The range within a representation of `size` bytes, or None if they do not overlap.
    fn resolve(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            RangeSpec::Closed { first, last } => first..last.saturating_add(1).min(size),
            RangeSpec::Open { first } => first..size,
            RangeSpec::Suffix { bytes } => size.saturating_sub(bytes)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Parses `bytes=` and a list of range specs. Returns None if the value is malformed, or has more
/// than [`RANGES_MAX`] specs.
fn parse(value: &[u8]) -> Option<ArrayVec<RangeSpec, RANGES_MAX>> {
    let (unit, set) = value.split_at(memchr::memchr(b'=', value)?);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = ArrayVec::new();
    for member in
        set[1..].split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    {
        let (first, last) = member.split_at(memchr::memchr(b'-', member)?);
        let spec = match (first, &last[1..]) {
            (b"", b"") => return None,
            (b"", last) => RangeSpec::Suffix { bytes: number(last)? },
            (first, b"") => RangeSpec::Open { first: number(first)? },
            (first, last) => RangeSpec::Closed { first: number(first)?, last: number(last)? },
        };
        if matches!(spec, RangeSpec::Closed { first, last } if last < first) {
            return None;
        }
        specs.try_push(spec).ok()?;
    }
    (!specs.is_empty()).then_some(specs)
}

/// Parses digits. A number beyond 64 bits saturates; either is beyond the end of every file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Merges ranges that overlap or touch, which RFC 9110 section 14.2 allows, and sorts them. If none
/// do, their order is kept.
fn coalesce(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    sorted.dedup_by(|next, before| {
        let joins = next.start <= before.end;
        if joins {
            before.end = before.end.max(next.end);
        }
        joins
    });
    if sorted.len() < ranges.len() { sorted } else { ranges.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_range_header_resolves_as_rfc_9110_says() {
        use ResolvedRange::{Full, Multiple, Single, Unsatisfiable};
        for (value, expected) in [
            ("bytes=0-99", Single(0..100)),
            ("bytes=0-0", Single(0..1)),
            ("bytes=999-", Single(999..1000)),
            ("bytes=-8", Single(992..1000)),
            ("bytes=-5000", Single(0..1000)),
            ("bytes=10-5000", Single(10..1000)),
            ("Bytes=0-18446744073709551615", Single(0..1000)),
            ("bytes=0-99999999999999999999999", Single(0..1000)),
            ("bytes=, 0-1 ,,", Single(0..2)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=2000-3000,-0", Unsatisfiable),
            ("bytes=0-9,5000-", Single(0..10)),
            ("bytes=500-509,0-9", Multiple(vec![500..510, 0..10])),
            ("bytes=0-9,10-19", Single(0..20)),
            ("bytes=50-99,0-60,200-209", Multiple(vec![0..100, 200..210])),
            ("bytes=0-,0-", Full),
            ("bytes=9-5", Full),
            ("bytes=a-5", Full),
            ("bytes=+1-5", Full),
            ("bytes=1-5-9", Full),
            ("bytes=-", Full),
            ("bytes=", Full),
            ("bytes", Full),
            ("lines=0-5", Full),
        ] {
            assert_eq!(resolve_range(value.as_bytes(), 1000), expected, "{value}");
        }
        assert_eq!(resolve_range(b"bytes=0-", 0), Unsatisfiable);
        let single_bytes = |count: u64| {
            let specs: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * 10)).collect();
            resolve_range(format!("bytes={}", specs.join(",")).as_bytes(), 1000)
        };
        assert!(matches!(single_bytes(16), Multiple(ranges) if ranges.len() == 16));
        assert_eq!(single_bytes(17), Full);
    }

    proptest! {
        #[test]
        fn no_range_reaches_beyond_the_representation(
            value in "bytes=[-0-9, ]{0,60}|.{0,40}",
            size in prop_oneof![0..2000u64, Just(u64::MAX)],
        ) {
            let ranges = match resolve_range(value.as_bytes(), size) {
                ResolvedRange::Single(range) => vec![range],
                ResolvedRange::Multiple(ranges) => ranges,
                ResolvedRange::Full | ResolvedRange::Unsatisfiable => vec![],
            };
            for (n, range) in ranges.iter().enumerate() {
                prop_assert!(range.start < range.end && range.end <= size);
                for other in &ranges[..n] {
                    prop_assert!(range.end < other.start || other.end < range.start);
                }
            }
        }

        #[test]
        fn the_ranges_cover_exactly_the_requested_bytes(
            requested in prop::collection::vec((0..500u64, 0..100u64), 1..8),
        ) {
            let specs: Vec<_> = requested
                .iter()
                .map(|(first, length)| format!("{first}-{}", first + length))
                .collect();
            let expected: BTreeSet<u64> =
                requested.iter().flat_map(|(first, length)| *first..=first + length).collect();
            let value = format!("bytes={}", specs.join(","));
            let resolved: Vec<u64> = match resolve_range(value.as_bytes(), 1000) {
                ResolvedRange::Single(range) => range.collect(),
                ResolvedRange::Multiple(ranges) => ranges.into_iter().flatten().collect(),
                other => { prop_assert_eq!(other, ResolvedRange::Full); return Ok(()) }
            };
            prop_assert_eq!(resolved.len(), expected.len());
            prop_assert_eq!(BTreeSet::from_iter(resolved), expected);
        }
    }
}
