//! The kind of a file, judged by its name, for its icon in a listing.

use crate::site::media_type;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Text,
    Image,
    /// Audio or video.
    Recording,
    Archive,
    Code,
    Other,
}

impl Kind {
    /// The attribute of a table row, with a leading space. Its value is one letter, and `Other` has
    /// none, because a page may have a hundred thousand rows.
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Kind::Directory => " class=d",
            Kind::Text => " class=t",
            Kind::Image => " class=i",
            Kind::Recording => " class=r",
            Kind::Archive => " class=a",
            Kind::Code => " class=c",
            Kind::Other => "",
        }
    }

    /// The kind of a file called `name`.
    pub(super) fn of_file(name: &[u8]) -> Kind {
        let Some(media_type) = media_type::of_name(name) else { return Kind::Other };
        let essence = media_type.split(';').next().unwrap_or_default();
        match essence.split_once('/').unwrap_or_default() {
            ("image", _) => Kind::Image,
            ("audio" | "video", _) => Kind::Recording,
            ("text", "plain") if !is_prose(name) => Kind::Code,
            ("text", "css" | "javascript" | "xml") => Kind::Code,
            ("text", _) => Kind::Text,
            ("application", "json" | "ld+json" | "geo+json" | "manifest+json" | "yaml") => {
                Kind::Code
            }
            ("application", "atom+xml" | "rss+xml" | "wasm") => Kind::Code,
            ("application", "xhtml+xml" | "pdf" | "epub+zip" | "rtf" | "msword") => Kind::Text,
            ("application", office)
                if office.starts_with("vnd.openxmlformats") || office.starts_with("vnd.oasis") =>
            {
                Kind::Text
            }
            ("application", archive) if is_archive(archive) => Kind::Archive,
            _ => Kind::Other,
        }
    }
}

/// Whether a file that is sent as plain text is prose, judged by its name. The others are source
/// code and configuration.
fn is_prose(name: &[u8]) -> bool {
    let extension = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    [&b"txt"[..], b"text", b"log"].iter().any(|prose| extension.eq_ignore_ascii_case(prose))
}

fn is_archive(subtype: &str) -> bool {
    matches!(
        subtype,
        "zip"
            | "gzip"
            | "zstd"
            | "x-brotli"
            | "x-xz"
            | "x-bzip2"
            | "x-7z-compressed"
            | "x-tar"
            | "x-rar-compressed"
            | "java-archive"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_kind() {
        for (kind, names) in [
            (Kind::Text, &["a.html", "a.txt", "A.LOG", "a.md", "a.csv", "a.pdf", "a.docx"][..]),
            (Kind::Image, &["a.png", "a.SVG", "a.heic", "a.ico"]),
            (Kind::Recording, &["a.mp3", "a.flac", "a.webm", "a.mkv"]),
            (Kind::Archive, &["a.zip", "a.tar.gz", "a.tgz", "a.7z", "a.rar", "a.jar"]),
            (Kind::Code, &["a.rs", "a.py", "a.js", "a.css", "a.json", "a.xml", "a.yml", "a.toml"]),
            (Kind::Other, &["a", "a.bin", "a.iso", "a.unknown", "a.woff2", ".", ""]),
        ] {
            for name in names {
                assert_eq!(Kind::of_file(name.as_bytes()), kind, "{name}");
            }
        }
    }
}
