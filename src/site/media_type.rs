//! A file's name → its media type.
//!
//! The types are those of the IANA registry, or what browsers expect where it has no entry. Text is
//! declared as UTF-8: without a charset a browser has to guess.

/// The media type of a file called `name`, with its charset, as a Content-Type value.
pub fn of_name(name: &[u8]) -> &'static str {
    const UNKNOWN: &str = "application/octet-stream";
    let Some(dot) = memchr::memrchr(b'.', name) else {
        return UNKNOWN;
    };
    let extension = &name[dot + 1..];
    let mut lower = [0; 16];
    let Some(lower) = lower.get_mut(..extension.len()) else {
        return UNKNOWN;
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    match &*lower {
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" | b"cjs" => "text/javascript; charset=utf-8",
        b"txt" | b"text" | b"log" | b"conf" | b"ini" | b"rs" | b"py" | b"c" | b"h" | b"sh"
        | b"ts" | b"tsx" | b"jsx" | b"toml" | b"diff" | b"patch" => "text/plain; charset=utf-8",
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
        b"epub" => "application/epub+zip",
        b"rtf" => "application/rtf",
        b"doc" => "application/msword",
        b"docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        b"pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"odt" => "application/vnd.oasis.opendocument.text",
        b"glb" => "model/gltf-binary",
        b"gltf" => "model/gltf+json",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::of_name;

    #[test]
    fn the_last_extension_determines_the_type_in_any_case() {
        assert_eq!(of_name(b"a.HTML"), "text/html; charset=utf-8");
        assert_eq!(of_name(b"a.min.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(of_name(b"a.html.bak"), "application/octet-stream");
        assert_eq!(of_name(b"html"), "application/octet-stream");
        assert_eq!(of_name(b"a."), "application/octet-stream");
        assert_eq!(of_name(b"a.an-extension-that-is-far-too-long"), "application/octet-stream");
    }
}
