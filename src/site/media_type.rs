//! A file's name, or else the beginning of its content → its media type.
//!
//! The types are those of the IANA registry, or what browsers expect where it has no entry. Text is
//! declared as UTF-8: without a charset a browser has to guess.
//!
//! Invariant: a type that browsers run as a page (HTML, SVG, XML) comes from a name, never from
//! content. So text that anyone may have uploaded under a name without a type stays text.

/// How much of a file [`of_content`] needs, at most.
pub const SNIFFED_BYTES_MAX: u64 = 1024;
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// The media type of a file called `name`, with its charset, as a Content-Type value. None if the
/// name does not tell.
pub fn of_name(name: &[u8]) -> Option<&'static str> {
    let dot = memchr::memrchr(b'.', name)?;
    let extension = &name[dot + 1..];
    let mut lower = [0; 16];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    of_common_extension(lower).or_else(|| of_rare_extension(lower))
}

/// The media type of a file that begins with `start`, and is `size_bytes` long. Text is UTF-8
/// without the bytes that are in no text file ("binary data bytes" of the WHATWG's MIME Sniffing
/// standard). A character that `start` cuts in two is one.
pub fn of_content(start: &[u8], size_bytes: u64) -> &'static str {
    let is_cut = (start.len() as u64) < size_bytes;
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && is_cut,
    };
    let is_binary = |byte: &u8| matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
    match is_utf8 && !start.iter().any(is_binary) {
        true => TEXT,
        false => BINARY,
    }
}

/// From a table that has the formats of the web as browsers want them, which [`of_rare_extension`]
/// does not.
fn of_common_extension(extension: &[u8]) -> Option<&'static str> {
    Some(match extension {
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" | b"cjs" => "text/javascript; charset=utf-8",
        b"txt" | b"text" | b"log" | b"conf" | b"ini" | b"rs" | b"py" | b"c" | b"h" | b"sh"
        | b"ts" | b"tsx" | b"jsx" | b"toml" | b"diff" | b"patch" => TEXT,
        b"md" | b"markdown" => "text/markdown; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"tsv" => "text/tab-separated-values; charset=utf-8",
        b"xml" | b"xsl" | b"xsd" => "text/xml; charset=utf-8",
        b"vtt" => "text/vtt; charset=utf-8",
        b"ics" => "text/calendar; charset=utf-8",
        b"vcf" => "text/vcard; charset=utf-8",
        b"json" | b"map" => "application/json; charset=utf-8",
        b"jsonld" => "application/ld+json; charset=utf-8",
        b"geojson" => "application/geo+json; charset=utf-8",
        b"webmanifest" => "application/manifest+json; charset=utf-8",
        b"yaml" | b"yml" => "application/yaml; charset=utf-8",
        b"atom" => "application/atom+xml; charset=utf-8",
        b"rss" => "application/rss+xml; charset=utf-8",
        b"xhtml" => "application/xhtml+xml; charset=utf-8",
        b"svg" => "image/svg+xml; charset=utf-8",
        b"wasm" => "application/wasm",
        b"pdf" => "application/pdf",
        b"png" => "image/png",
        b"apng" => "image/apng",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"jxl" => "image/jxl",
        b"heic" => "image/heic",
        b"bmp" => "image/bmp",
        b"tif" | b"tiff" => "image/tiff",
        b"ico" => "image/vnd.microsoft.icon",
        b"mp3" => "audio/mpeg",
        b"m4a" => "audio/mp4",
        b"aac" => "audio/aac",
        b"flac" => "audio/flac",
        b"oga" | b"ogg" | b"opus" => "audio/ogg",
        b"wav" => "audio/wav",
        b"weba" => "audio/webm",
        b"mid" | b"midi" => "audio/midi",
        b"mp4" | b"m4v" => "video/mp4",
        b"webm" => "video/webm",
        b"ogv" => "video/ogg",
        b"mov" => "video/quicktime",
        b"mpg" | b"mpeg" => "video/mpeg",
        b"mkv" => "video/matroska",
        b"avi" => "video/x-msvideo",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mpd" => "application/dash+xml",
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
        b"otf" => "font/otf",
        b"eot" => "application/vnd.ms-fontobject",
        b"zip" => "application/zip",
        b"gz" | b"tgz" => "application/gzip",
        b"zst" => "application/zstd",
        b"br" => "application/x-brotli",
        b"xz" => "application/x-xz",
        b"bz2" => "application/x-bzip2",
        b"7z" => "application/x-7z-compressed",
        b"tar" => "application/x-tar",
        // Never text, so there is no need to read the beginning.
        b"bin" | b"deb" | b"dmg" | b"exe" | b"img" | b"iso" => BINARY,
        b"epub" => "application/epub+zip",
        b"rtf" => "application/rtf",
        b"doc" => "application/msword",
        b"docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        b"pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"odt" => "application/vnd.oasis.opendocument.text",
        b"glb" => "model/gltf-binary",
        b"gltf" => "model/gltf+json",
        _ => return None,
    })
}

/// From the table of the crate. Firefox saves a file of any type for source code, even of
/// `text/x-java`, so source code is plain text here.
fn of_rare_extension(extension: &[u8]) -> Option<&'static str> {
    // To the crate these are videos, but `go.mod` and modules of TypeScript are text.
    if matches!(extension, b"mod" | b"mts") {
        return None;
    }
    let media_type = mime_guess::from_ext(str::from_utf8(extension).ok()?).first_raw()?;
    match media_type.split_once('/')? {
        ("text", _) => Some(TEXT),
        (
            "application",
            "json5" | "hjson" | "x-csh" | "x-httpd-php" | "x-latex" | "x-perl" | "x-sql"
            | "x-subrip" | "x-tcl" | "x-tex" | "x-texinfo" | "x-troff" | "x-troff-man"
            | "x-troff-me" | "x-troff-ms",
        ) => Some(TEXT),
        // The crate does not know either.
        ("application", "octet-stream") => None,
        _ => Some(media_type),
    }
}

#[cfg(test)]
mod tests {
    use super::{BINARY, SNIFFED_BYTES_MAX, TEXT, of_content, of_name};

    #[test]
    fn the_last_extension_determines_the_type_in_any_case() {
        assert_eq!(of_name(b"a.HTML"), Some("text/html; charset=utf-8"));
        assert_eq!(of_name(b"a.min.mjs"), Some("text/javascript; charset=utf-8"));
        for name in ["a.html.bak", "html", "a.", "a.an-extension-that-is-far-too-long"] {
            assert_eq!(of_name(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn source_code_is_plain_text_and_other_rare_formats_have_their_types() {
        for name in ["a.cpp", "a.lua", "A.PL", "a.tex", "a.scss", "a.shtml", "a.1.man"] {
            assert_eq!(of_name(name.as_bytes()), Some(TEXT), "{name}");
        }
        for (name, expected) in [
            ("a.3gp", Some("video/3gpp")),
            ("a.torrent", Some("application/x-bittorrent")),
            ("go.mod", None),
            ("a.java", None),
            ("a.dat", None),
            ("a.bin", Some(BINARY)),
        ] {
            assert_eq!(of_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn content_is_text_if_it_is_utf_8_without_control_characters() {
        let euro_at_the_end =
            [vec![b'a'; SNIFFED_BYTES_MAX as usize - 2], vec![0xE2, 0x82]].concat();
        for (start, size_bytes, is_text) in [
            (&b""[..], 0, true),
            ("all:\n\tcc é €\r\n\x0c\x1b[1m".as_bytes(), 22, true),
            (b"\xEF\xBB\xBFwith a byte order mark", 25, true),
            (&euro_at_the_end, SNIFFED_BYTES_MAX + 1, true),
            (&euro_at_the_end, SNIFFED_BYTES_MAX, false),
            (b"a\0b", 3, false),
            (b"\x7FELF\x02\x01", 6, false),
            (b"caf\xE9 au lait", 13, false),
            (b"\xE2\x82a", 2000, false),
        ] {
            let expected = if is_text { TEXT } else { BINARY };
            assert_eq!(of_content(start, size_bytes), expected, "{start:?}");
        }
    }
}
