//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

/// Ranges in one request; with more the whole file is sent. Nobody needs a thousand, but the sum of their
/// heads has been used to make a server work (section 17.15).
const RANGES_MAX: usize = 16;

/// What of a representation is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: there is no Range, or one that is to be ignored.
    Whole,
    /// One part. Never empty, never beyond the end.
    One(Range<u64>),
    /// Two or more parts that neither touch nor overlap, in the order asked for.
    Many(Vec<Range<u64>>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// Reads the value of a Range field for a representation of `size` bytes. A value that is malformed or in another unit is
/// ignored (section 14.2).
pub fn select(value: &[u8], size: u64) -> Selection {
    let Some(specs) = parse(value) else {
        return Selection::Whole;
    };
    let mut ranges: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.within(size)).collect();
    // "together no larger than the file": the same bytes twice are no use to anyone honest.
    let total =
        ranges.iter().try_fold(0u64, |total, range| total.checked_add(range.end - range.start));
    if specs.len() > RANGES_MAX || total.is_none_or(|total| total > size) {
        return Selection::Whole;
    }
    coalesce(&mut ranges);
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges.swap_remove(0)),
        _ => Selection::Many(ranges),
    }
}

/// One member of a range set, not yet held against a size.
#[derive(Clone, Copy, Debug)]
enum Spec {
    FromTo { first: u64, last: u64 },
    From { first: u64 },
    Last { bytes: u64 },
}

impl Spec {
    /// The part of `size` bytes that it names, if any.
    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::FromTo { first, last } => first..last.saturating_add(1).min(size),
            Spec::From { first } => first..size,
            Spec::Last { bytes } => size.saturating_sub(bytes)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The members of a well-formed `bytes=` set.
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_at(memchr::memchr(b'=', value)?);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for member in
        set[1..].split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    {
        let (first, last) = member.split_at(memchr::memchr(b'-', member)?);
        let spec = match (first, &last[1..]) {
            (b"", b"") => return None,
            (b"", last) => Spec::Last { bytes: number(last)? },
            (first, b"") => Spec::From { first: number(first)? },
            (first, last) => Spec::FromTo { first: number(first)?, last: number(last)? },
        };
        if matches!(spec, Spec::FromTo { first, last } if last < first) {
            return None;
        }
        specs.push(spec);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits. One that 64 bits can't hold is beyond the end of every file, and so is the largest that they can.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Joins ranges that overlap or touch (section 14.2 allows it); where none do, their order is kept.
fn coalesce(ranges: &mut Vec<Range<u64>>) {
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.start);
    sorted.dedup_by(|next, before| {
        let joins = next.start <= before.end;
        if joins {
            before.end = before.end.max(next.end);
        }
        joins
    });
    if sorted.len() < ranges.len() {
        *ranges = sorted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_the_rfc_mean_what_it_says() {
        use Selection::{Many, One, Unsatisfiable, Whole};
        for (value, selection) in [
            ("bytes=0-99", One(0..100)),
            ("bytes=0-0", One(0..1)),
            ("bytes=999-", One(999..1000)),
            ("bytes=-8", One(992..1000)),
            ("bytes=-5000", One(0..1000)),
            ("bytes=10-5000", One(10..1000)),
            ("Bytes=0-18446744073709551615", One(0..1000)),
            ("bytes=0-99999999999999999999999", One(0..1000)),
            ("bytes=, 0-1 ,,", One(0..2)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=2000-3000,-0", Unsatisfiable),
            ("bytes=0-9,5000-", One(0..10)),
            ("bytes=500-509,0-9", Many(vec![500..510, 0..10])),
            ("bytes=0-9,10-19", One(0..20)),
            ("bytes=50-99,0-60,200-209", Many(vec![0..100, 200..210])),
            ("bytes=0-,0-", Whole),
            ("bytes=9-5", Whole),
            ("bytes=a-5", Whole),
            ("bytes=+1-5", Whole),
            ("bytes=1-5-9", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("lines=0-5", Whole),
        ] {
            assert_eq!(select(value.as_bytes(), 1000), selection, "{value}");
        }
        assert_eq!(select(b"bytes=0-", 0), Unsatisfiable);
        let many =
            |n: u64| (0..n).map(|i| format!("{}-{}", i * 10, i * 10)).collect::<Vec<_>>().join(",");
        assert!(
            matches!(select(format!("bytes={}", many(16)).as_bytes(), 1000), Many(ranges) if ranges.len() == 16)
        );
        assert_eq!(select(format!("bytes={}", many(17)).as_bytes(), 1000), Whole);
    }

    proptest! {
        #[test]
        fn no_value_selects_a_byte_outside_the_file(value in "bytes=[-0-9, ]{0,60}|.{0,40}", size in prop_oneof![0..2000u64, Just(u64::MAX)]) {
            let ranges = match select(value.as_bytes(), size) {
                Selection::One(range) => vec![range],
                Selection::Many(ranges) => ranges,
                Selection::Whole | Selection::Unsatisfiable => vec![],
            };
            for (n, range) in ranges.iter().enumerate() {
                prop_assert!(range.start < range.end && range.end <= size);
                for other in &ranges[..n] {
                    prop_assert!(range.end < other.start || other.end < range.start);
                }
            }
        }

        #[test]
        fn the_parts_are_what_was_asked_for(asked in prop::collection::vec((0..500u64, 0..100u64), 1..8)) {
            let size = 1000;
            let set: Vec<_> = asked.iter().map(|(first, length)| format!("{first}-{}", first + length)).collect();
            let expected: std::collections::BTreeSet<u64> = asked.iter().flat_map(|(first, length)| *first..=first + length).collect();
            let selected: Vec<u64> = match select(format!("bytes={}", set.join(",")).as_bytes(), size) {
                Selection::One(range) => range.collect(),
                Selection::Many(ranges) => ranges.into_iter().flatten().collect(),
                other => { prop_assert_eq!(other, Selection::Whole); return Ok(()) }
            };
            prop_assert_eq!(selected.len(), expected.len());
            prop_assert_eq!(selected.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
        }
    }
}
