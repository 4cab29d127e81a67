//! The users of a site with the hashes of their passwords.

use sha2::{Digest, Sha256};

use super::password_hash::{OutOfMemory, PasswordHash};

/// Identifies the content that users were read from.
pub type Version = [u8; 32];

/// The users of one version of a password file, or the one user of the command line. A new version
/// of the file replaces them all.
#[derive(Debug)]
pub struct Users {
    /// Sorted by name; never empty.
    users: Vec<User>,
    version: Version,
}

#[derive(Debug)]
struct User {
    name: Box<[u8]>,
    hash: PasswordHash,
}

impl Users {
    pub fn one(name: &[u8], hash: PasswordHash) -> Users {
        Users::new(vec![User { name: name.into(), hash }], [0; 32])
    }

    /// Parses lines of the form `user:hash`, as htpasswd writes them. As Apache and nginx do, it
    /// ignores empty lines, comments, and what follows another colon.
    ///
    /// # Errors
    /// A message that names the first unusable line and its user. It contains no hash.
    pub fn parse(text: &[u8]) -> Result<Users, String> {
        let mut lines: Vec<(usize, User)> = Vec::new();
        for (at, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if !line.is_empty() && !line.starts_with(b"#") {
                lines.push((at + 1, User::parse(line, at + 1)?));
            }
        }
        lines.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        if let Some([(first, _), (second, user)]) =
            lines.windows(2).find(|pair| pair[0].1.name == pair[1].1.name)
        {
            let user = shown(&user.name);
            return Err(format!("line {second}: user '{user}' is on line {first}, too"));
        }
        match lines.is_empty() {
            true => Err("no user: expected lines of the form 'USER:HASH'".to_owned()),
            false => {
                let users = lines.into_iter().map(|(_, user)| user).collect();
                Ok(Users::new(users, Users::version_of(text)))
            }
        }
    }

    /// The version of the users that `text` lists.
    pub fn version_of(text: &[u8]) -> Version {
        Sha256::digest(text).into()
    }

    fn new(users: Vec<User>, version: Version) -> Users {
        Users { users, version }
    }

    /// Credentials that were verified against another version have to be checked again.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether checking a password may take long.
    pub fn are_slow_to_check(&self) -> bool {
        self.users.iter().any(|user| user.hash.is_slow())
    }

    /// Whether these are the name and password of a user.
    ///
    /// For an unknown name, the password is checked against the hash of some user, chosen by
    /// `decoy`, so that the response time does not reveal whether the name is known. Pass
    /// the same `decoy` for the same name: otherwise the times of repeated attempts reveal it.
    pub fn check(&self, name: &[u8], password: &[u8], decoy: u64) -> Result<bool, OutOfMemory> {
        let known = self.users.binary_search_by(|user| (*user.name).cmp(name));
        let user = known.unwrap_or((decoy % self.users.len() as u64) as usize);
        let is_right = self.users[user].hash.is_of(password)?;
        Ok(is_right & known.is_ok())
    }
}

impl User {
    fn parse(line: &[u8], number: usize) -> Result<User, String> {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next().unwrap_or_default();
        // A hash in the place of a name must not get into an error message.
        let is_name = !name.is_empty() && !name.starts_with(b"$") && !name.starts_with(b"{");
        let hash = fields.next().filter(|_| is_name);
        let hash = hash.ok_or_else(|| format!("line {number}: expected 'USER:HASH'"))?;
        let hash = PasswordHash::parse_salted(&String::from_utf8_lossy(hash.trim_ascii()))
            .map_err(|reason| format!("line {number}, user '{}': {reason}", shown(name)))?;
        Ok(User { name: name.into(), hash })
    }
}

/// A name on one line.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS";

    #[test]
    fn a_file_has_a_user_per_line_comments_and_empty_lines() {
        let text = format!(
            "# comment\r\n\r\nme:{HASH}\r\n  \n\tyou:{HASH} \n#old:x\nä b:{HASH}:another field"
        );
        let users = Users::parse(text.as_bytes()).expect("valid lines");
        for (name, is_known) in [
            ("me", true),
            ("you", true),
            ("ä b", true),
            ("old", false),
            ("Me", false),
            ("", false),
            ("zz", false),
        ] {
            // The chosen user has the same password, and does not make the name known.
            for decoy in [0, 1, u64::MAX] {
                let check = |password| users.check(name.as_bytes(), password, decoy);
                assert_eq!(check(b"secret").expect("memory"), is_known, "{name}");
                assert!(!check(b"wrong").expect("memory"), "{name}");
            }
        }
    }

    #[test]
    fn an_unusable_line_is_named_and_no_hash_is_shown() {
        for (text, words) in [
            (String::new(), &["no user"][..]),
            ("# only\n\n".to_owned(), &["no user"]),
            (format!("me:{HASH}\nhunter2\n"), &["line 2", "USER:HASH"]),
            (format!("me:{HASH}\n\nyou:hunter2"), &["line 3", "'you'", "plain"]),
            (format!(":{HASH}"), &["line 1", "USER:HASH"]),
            (format!("{HASH}:me"), &["line 1", "USER:HASH"]),
            (format!("a:{HASH}\nb:{HASH}\na:{HASH}"), &["line 3", "'a'", "line 1"]),
            ("a\x1b[1m\u{202e}:x".to_owned(), &["'a\\u{1b}[1m\\u{202e}'"]),
        ] {
            let error = Users::parse(text.as_bytes()).expect_err(&text);
            assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}");
            assert!(!error.contains("$2y$") && !error.contains("hunter2"), "{text:?}: {error}");
        }
    }
}
