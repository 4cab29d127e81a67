//! Chunk extensions, which stand between the size of a chunk and the end of its line (RFC 9112
//! section 7.1.1).
//!
//! ```text
//!   chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS value ] )     value = token / quoted-string
//! ```
//!
//! This server knows no extension and ignores them all. Their syntax is checked nevertheless: an
//! implementation that finds another end of the line reads another body.

use super::characters::{is_field_text, is_token};

/// A position within the extensions of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkExtension {
    /// Behind the size or a quoted string.
    Complete,
    /// Behind white space, which only a semicolon may follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    /// Behind a backslash in a quoted string.
    Escape,
}

impl ChunkExtension {
    /// The position behind `byte`, or None if `byte` is not allowed here.
    pub(super) fn advance(self, byte: u8) -> Option<ChunkExtension> {
        use ChunkExtension::*;
        Some(match (self, byte) {
            (BeforeName | Name, byte) if is_token(byte) => Name,
            (BeforeValue | Token, byte) if is_token(byte) => Token,
            (BeforeValue, b'"') => Quoted,
            (Quoted, b'"') => Complete,
            (Quoted, b'\\') => Escape,
            (Quoted | Escape, byte) if is_field_text(byte) => Quoted,
            (Complete | BeforeSemicolon | Name | AfterName | Token, b';') => BeforeName,
            (Name | AfterName, b'=') => BeforeValue,
            (Complete | Token, b' ' | b'\t') => BeforeSemicolon,
            (Name, b' ' | b'\t') => AfterName,
            (BeforeSemicolon | BeforeName | AfterName | BeforeValue, b' ' | b'\t') => self,
            _ => return None,
        })
    }

    /// Whether the line may end here.
    pub(super) fn may_end(self) -> bool {
        use ChunkExtension::*;
        matches!(self, Complete | Name | Token)
    }
}
