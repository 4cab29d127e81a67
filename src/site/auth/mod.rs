//! Basic authentication for the whole site (RFC 7617).
//!
//! ```text
//! credentials ──┬─ verified recently, from this address ───────────────────> granted
//!               ├─ too many failures from this address ────────────────────> 429
//!               └─ otherwise ──> wait for a slot ──> compare with the hash ┬> granted
//!                                (not if the hash is a fast one)           └> 401
//! ```
//!
//! Checking a password against a slow hash takes up to several seconds. So a check runs where it
//! delays no other client, the number of checks at once is bounded, and verified credentials are
//! remembered.
//!
//! Invariants:
//! 1. No password is stored. Verified credentials are represented by a keyed hash.
//! 2. Credentials that have been verified for an address are granted access from there without a
//!    check, whatever else comes from it. Otherwise a stranger behind the same address could lock
//!    users out.
//! 3. All workers of a server share one [`Authenticator`]. Forked children have copies of it, but
//!    share what has been verified, the failures of an address and the bound on checks at once.
//! 4. Credentials that were verified against one version of the password file are checked again
//!    after the file has changed.

mod basic;
mod check_slots;
mod denial;
mod last_good;
mod password_file;
mod password_hash;
mod secret_key;
mod shared_table;
mod throttle;
mod users;
mod verified;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::served_files::ServedFiles;
use crate::http::{Moment, Now, Request};
use basic::BasicCredentials;
use check_slots::CheckSlots;
pub use check_slots::checks_max;
pub use denial::Denial;
use password_file::PasswordFile;
use password_hash::PasswordHash;
use secret_key::{KeyedHash, Purpose, SecretKey};
pub use throttle::ClientNetwork;
use throttle::Throttle;
use users::Users;
use verified::VerifiedCredentials;

/// Decides which requests carry the name and password of a user.
#[derive(Debug)]
pub struct Authenticator {
    source: Source,
    key: SecretKey,
    verified: VerifiedCredentials,
    throttle: Throttle,
    slots: CheckSlots,
    /// The number of [`Check`]s that exist. Each of them refreshes a stale password file.
    pending_checks: AtomicUsize,
}

/// Where users come from.
#[derive(Debug)]
enum Source {
    CommandLine(Arc<Users>),
    File(Box<PasswordFile>),
}

/// One user name and the SHA-256 of a password: `USER:SHA256`.
#[derive(Clone, Debug)]
pub struct Credentials {
    user: Box<[u8]>,
    password: PasswordHash,
}

/// Whether a request may be answered.
#[derive(Debug)]
pub enum Access {
    Granted,
    Denied(Denial),
    /// [`Check::run`] decides, which may take long.
    Unknown(Check),
}

/// A check of credentials that may take long.
#[derive(Debug)]
pub struct Check {
    authenticator: Arc<Authenticator>,
    credentials: BasicCredentials,
    client: ClientNetwork,
    now: Now,
}

impl Authenticator {
    /// For the one user of `credentials`.
    ///
    /// # Errors
    /// No descriptor, memory or random bytes are left.
    pub fn new(credentials: Credentials) -> io::Result<Authenticator> {
        let users = Users::one(&credentials.user, credentials.password);
        Authenticator::with_source(|_| Ok(Source::CommandLine(Arc::new(users))))
    }

    /// For the users of a password file with lines of the form `user:hash`.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or is among those that are `served`; no descriptor,
    /// memory or random bytes are left.
    pub fn from_file(path: &Path, served: ServedFiles) -> io::Result<Authenticator> {
        let open = |key| PasswordFile::open(path, served, key);
        Authenticator::with_source(|key| Ok(Source::File(Box::new(open(key)?))))
    }

    fn with_source(
        source: impl FnOnce(SecretKey) -> io::Result<Source>,
    ) -> io::Result<Authenticator> {
        let key = SecretKey::random()?;
        Ok(Authenticator {
            source: source(key.clone())?,
            verified: VerifiedCredentials::new()?,
            throttle: Throttle::new(key.clone())?,
            slots: CheckSlots::new(checks_max())?,
            pending_checks: AtomicUsize::new(0),
            key,
        })
    }

    /// Whether `request` from `client` may be answered.
    pub fn access(
        self: &Arc<Self>,
        client: ClientNetwork,
        request: &Request<'_>,
        now: &Now,
    ) -> Access {
        let Some(credentials) = BasicCredentials::of(request) else {
            return Access::Denied(Denial::Unauthorized);
        };
        // A pending check refreshes the file as well. If none is pending, the queue of checks is
        // empty, so the check that refreshes the file is not refused with a 503.
        let must_look_at_file =
            self.is_stale(now.moment) && self.pending_checks.load(Ordering::Acquire) == 0;
        if !must_look_at_file {
            let users = self.users();
            let hash = self.hash_of(&users, &credentials, client);
            if self.verified.contains(hash, now.moment) {
                return Access::Granted;
            }
            if let Some(wait) = self.throttle.wait(client, now.moment) {
                return Access::Denied(Denial::TooManyFailures { wait });
            }
            if !users.are_slow_to_check() {
                return match self.compare(&users, &credentials, client, now.moment) {
                    None => Access::Granted,
                    Some(denial) => Access::Denied(denial),
                };
            }
        }
        self.pending_checks.fetch_add(1, Ordering::AcqRel);
        Access::Unknown(Check { authenticator: self.clone(), credentials, client, now: *now })
    }

    /// The file that must stay readable while the server runs, with its option.
    pub fn file(&self) -> Option<(&'static str, PathBuf)> {
        match &self.source {
            Source::CommandLine(_) => None,
            Source::File(file) => Some(("--auth-file", file.path().to_owned())),
        }
    }

    fn users(&self) -> Arc<Users> {
        match &self.source {
            Source::CommandLine(users) => users.clone(),
            Source::File(file) => file.users(),
        }
    }

    fn is_stale(&self, now: Moment) -> bool {
        match &self.source {
            Source::CommandLine(_) => false,
            Source::File(file) => file.is_stale(now),
        }
    }

    /// The keyed hash of credentials and the address that they come from. Verified credentials are
    /// granted before the throttle is consulted, so without the address, a client at any address
    /// could guess the passwords of active users without a limit.
    fn hash_of(
        &self,
        users: &Users,
        credentials: &BasicCredentials,
        client: ClientNetwork,
    ) -> KeyedHash {
        let parts = [users.version(), client.bytes(), credentials.bytes()];
        self.key.hash(Purpose::VerifiedCredentials, &parts)
    }

    /// Compares credentials with the hash of their user, and remembers the result.
    fn compare(
        &self,
        users: &Users,
        credentials: &BasicCredentials,
        client: ClientNetwork,
        now: Moment,
    ) -> Option<Denial> {
        let decoy = self.key.hash(Purpose::UnknownUser, &[credentials.user()]).id();
        match users.check(credentials.user(), credentials.password(), decoy) {
            Ok(true) => {
                self.verified.insert(self.hash_of(users, credentials, client), now);
                None
            }
            Ok(false) => {
                self.throttle.record_failure(client, now);
                Some(Denial::Unauthorized)
            }
            Err(password_hash::OutOfMemory) => Some(Denial::Busy),
        }
    }
}

impl Check {
    /// Why the request is refused; None if the credentials are verified now.
    pub fn run(self) -> Option<Denial> {
        let Check { authenticator, credentials, client, now } = &self;
        if let Source::File(file) = &authenticator.source {
            file.refresh(now);
        }
        let users = authenticator.users();
        let hash = authenticator.hash_of(&users, credentials, *client);
        let is_verified = || authenticator.verified.contains(hash, now.moment);
        if is_verified() {
            return None;
        }
        let Some(_permit) = authenticator.slots.acquire() else {
            return Some(Denial::Busy);
        };
        // While this check waited, another one may have verified the same credentials, or the
        // client may have failed on another connection.
        if is_verified() {
            return None;
        }
        if let Some(wait) = authenticator.throttle.wait(*client, now.moment) {
            return Some(Denial::TooManyFailures { wait });
        }
        authenticator.compare(&users, credentials, *client, now.moment)
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.authenticator.pending_checks.fetch_sub(1, Ordering::AcqRel);
    }
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Credentials, String> {
        const EXPECTED: &str =
            "expected 'USER:SHA256', the hash of the password as 64 hexadecimal digits";
        let (user, hash) = text.split_once(':').ok_or(EXPECTED)?;
        let password = PasswordHash::parse_sha256(hash).ok_or(EXPECTED)?;
        Ok(Credentials { user: user.as_bytes().into(), password })
    }
}
