//! Natural sort order: `file2` before `file10`, and `Zoo` after `ant`.
//!
//! A run of digits, of any length, compares as a number. ASCII letters compare case-insensitively.
//! Names that are then equal (`A1`, `a1` and `a01`) compare by their bytes, so the order is total.

use std::cmp::Ordering;

/// Compares two names, without allocating: a large directory makes millions of comparisons.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    by_tokens(a, b).then_with(|| a.cmp(b))
}

fn by_tokens(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let (first_a, first_b) = match (a.first(), b.first()) {
            (Some(first_a), Some(first_b)) => (first_a, first_b),
            (first_a, first_b) => return first_a.is_some().cmp(&first_b.is_some()),
        };
        let ordering = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b) = (take_number(&mut a), take_number(&mut b));
            // Without leading zeros, the longer number is the greater one.
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            first_a.to_ascii_lowercase().cmp(&first_b.to_ascii_lowercase())
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// Removes the digits that `name` starts with, and returns them without leading zeros.
fn take_number<'a>(name: &mut &'a [u8]) -> &'a [u8] {
    let end = name.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(name.len());
    let (number, rest) = name.split_at(end);
    *name = rest;
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_and_letters_without_their_case() {
        let sorted = [
            "",
            "-1",
            "0",
            "00",
            "1",
            "1.5",
            "1a",
            "2",
            "10",
            "010a",
            "18446744073709551615",
            "18446744073709551616",
            "A",
            "a",
            "a-1",
            "a.txt",
            "a01",
            "a1",
            "a01b",
            "a1b",
            "a2",
            "A10",
            "a10b2",
            "a10b10",
            "ab",
            "b",
            "B1",
            "b١",
            "c_1",
            "é2",
            "é10",
        ];
        // '-' and '.' come before the digits in ASCII, and '_' after them.
        let mut names = sorted;
        names.sort_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, sorted);
    }

    #[test]
    fn the_order_is_total() {
        let alphabet = b"aA0019.\xff";
        let mut generator = fastrand::Rng::with_seed(7);
        let mut names: Vec<Vec<u8>> = (0..200)
            .map(|_| {
                let bytes = generator.usize(0..6);
                (0..bytes).map(|_| alphabet[generator.usize(0..alphabet.len())]).collect()
            })
            .collect();
        names.sort();
        names.dedup();
        for a in &names {
            for b in &names {
                assert_eq!(compare(a, b), compare(b, a).reverse());
                assert_eq!(compare(a, b).is_eq(), a == b);
                let is_between = |c: &&Vec<u8>| compare(a, c).is_lt() && compare(c, b).is_lt();
                assert!(compare(a, b).is_lt() || !names.iter().any(|c| is_between(&c)));
            }
        }
    }
}
