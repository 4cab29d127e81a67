//! A failed system call → the status of the response, and the sentence on its error page.

use rustix::io::Errno;

use crate::http::Status;

/// The status for a failed open. A path that does not exist and one that leads out of the root
/// (`EXDEV` from openat2) get the same 404, so that a client can't tell them apart.
pub fn status_of_open(errno: Errno) -> Status {
    match errno {
        _ if is_shortage(errno) => Status::ServiceUnavailable,
        Errno::ACCESS | Errno::PERM => Status::Forbidden,
        Errno::IO | Errno::BADF | Errno::FAULT => Status::InternalServerError,
        _ => Status::NotFound,
    }
}

/// The status for a failed read of a file or directory that is open, and so exists.
pub fn status_of_read(errno: Errno) -> Status {
    match is_shortage(errno) {
        true => Status::ServiceUnavailable,
        false => Status::InternalServerError,
    }
}

/// Whether the same call may succeed a moment later: descriptors or memory are exhausted, or the
/// kernel gave up because of a concurrent rename (`EAGAIN`) or a signal.
pub fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR)
}

/// The sentence that explains `status` on an error page.
pub fn reason(status: Status) -> &'static str {
    match status {
        Status::Forbidden => "This server may not read what is here.",
        Status::NotFound => "There is nothing at this address.",
        Status::PreconditionFailed => "What is here is not the version that the request expects.",
        Status::ServiceUnavailable => {
            "This server is short of something it needs. It may work in a moment."
        }
        _ => "This server could not read what is here.",
    }
}
