//! What a mistyped word was meant to be.

/// `did you mean '--port'?`, if one of `known` is similar to `word`.
pub(super) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    most_similar(word, known).map(|best| format!("did you mean '{best}'?"))
}

/// The one of `known` that is most similar to `word`, if any is similar.
pub(super) fn most_similar<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// At this similarity (Jaro and Winkler), two letters of a word may be exchanged or one be
    /// missing. Below it, suggestions are mostly wrong.
    const SIMILARITY_MIN: f64 = 0.8;
    let word = word.to_lowercase();
    // The hyphens of options would make all of them similar.
    let bare = word.trim_start_matches('-');
    let similarity = |known: &str| strsim::jaro_winkler(bare, known.trim_start_matches('-'));
    let similar = known.into_iter().map(|known| (similarity(known), known));
    let (_, best) = similar
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_word_is_suggested_and_no_other() {
        let options = ["--port", "--host", "--log", "--list", "--header", "--header-timeout"];
        for (word, meant) in [
            ("--prot", Some("--port")),
            ("--Port", Some("--port")),
            ("-port", Some("--port")),
            ("--lists", Some("--list")),
            ("--headers", Some("--header")),
            ("--header-timeuot", Some("--header-timeout")),
            ("--verbose", None),
            ("--", None),
            ("", None),
        ] {
            let expected = meant.map(|meant| format!("did you mean '{meant}'?"));
            assert_eq!(did_you_mean(word, options), expected, "{word}");
        }
    }
}
