//! The sample site, embedded in the program: every file of `html/`.

/// A file that is part of the program.
#[derive(Debug)]
pub struct EmbeddedFile {
    pub name: &'static str,
    pub content: &'static [u8],
}

macro_rules! embed {
    ($($name:literal)*) => {
        &[$(EmbeddedFile {
            name: $name,
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/html/", $name)),
        }),*]
    };
}

/// One line for each file of `html/`; a test compares the two.
static FILES: &[EmbeddedFile] = embed! {
    "404.html"
    "favicon.svg"
    "index.html"
    "loop-blocking.svg"
    "loop-mio.svg"
    "loop-poll-list.svg"
    "loop-poll.svg"
    "script.js"
    "style.css"
};

/// The file called `name`, if there is one.
pub fn find(name: &[u8]) -> Option<&'static EmbeddedFile> {
    FILES.iter().find(|file| file.name.as_bytes() == name)
}

/// The name and content of each file, for a caller that writes the site to a directory.
pub fn sample_files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().map(|file| (file.name, file.content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_file_of_the_html_directory() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/html");
        let mut on_disk: Vec<String> = std::fs::read_dir(directory)
            .expect("the source tree has a directory html")
            .map(|entry| entry.expect("a readable entry").file_name())
            .map(|name| name.into_string().expect("a UTF-8 name"))
            .collect();
        on_disk.sort();
        let mut embedded: Vec<&str> = sample_files().map(|(name, _)| name).collect();
        embedded.sort();
        assert_eq!(embedded, on_disk, "FILES must list every file of html/");
    }
}
