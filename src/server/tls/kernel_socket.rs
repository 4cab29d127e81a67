//! Kernel TLS (<https://docs.kernel.org/networking/tls.html>): sockets whose output the kernel
//! encrypts, so that sendfile works on them.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::SendFlags;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::{
    AlertDescription, CipherSuite, ConnectionTrafficSecrets, ProtocolVersion, SupportedCipherSuite,
};
use socket2::{MsgHdr, SockRef};

/// The ciphers with which the kernel can encrypt, by version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCiphers(u8);

#[derive(Clone, Copy)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

const CIPHERS: [Cipher; 3] = [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];

/// With what the kernel encrypts, from a record on.
pub struct SendKey(sockopt::TlsCryptoInfo);

/// An alert that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    Warning(AlertDescription),
    Fatal(AlertDescription),
}

impl Alert {
    pub const CLOSE_NOTIFY: Alert = Alert::Warning(AlertDescription::CloseNotify);
}

impl KernelCiphers {
    /// Asks the kernel, by trying each cipher on a connection to itself. As root, this loads the
    /// kernel module.
    ///
    /// # Errors
    /// It has none. The message says what is missing.
    pub fn probe() -> io::Result<KernelCiphers> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut found = KernelCiphers::default();
        for version in VERSIONS {
            for cipher in CIPHERS {
                let socket = TcpStream::connect(address)?;
                prepare_socket(&socket)?;
                let key = SendKey::new(version, 0, &cipher.zero_key());
                if key.is_some_and(|key| key.install(&socket).is_ok()) {
                    found.0 |= bit(version, cipher);
                }
            }
        }
        match found.is_empty() {
            true => Err(io::Error::other("the kernel has none of the ciphers")),
            false => Ok(found),
        }
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contain(self, suite: SupportedCipherSuite) -> bool {
        Cipher::of(suite.suite())
            .is_some_and(|cipher| self.0 & bit(suite.version().version, cipher) != 0)
    }
}

fn bit(version: ProtocolVersion, cipher: Cipher) -> u8 {
    let shift = if version == ProtocolVersion::TLSv1_3 { CIPHERS.len() } else { 0 };
    1 << (shift + cipher as usize)
}

impl Cipher {
    fn of(suite: CipherSuite) -> Option<Cipher> {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Some(Cipher::Aes128Gcm),
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Some(Cipher::Aes256Gcm),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
                Some(Cipher::ChaCha20Poly1305)
            }
            _ => None,
        }
    }

    fn zero_key(self) -> ConnectionTrafficSecrets {
        let (key, iv) = (AeadKey::from([0; 32]), Iv::from([0; 12]));
        match self {
            Cipher::Aes128Gcm => ConnectionTrafficSecrets::Aes128Gcm { key, iv },
            Cipher::Aes256Gcm => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
            Cipher::ChaCha20Poly1305 => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
        }
    }
}

/// Attaches TLS to a socket. Until a key is installed, nothing changes.
///
/// # Errors
/// The socket is not TCP, or the kernel has no TLS.
pub fn prepare_socket(socket: &impl AsFd) -> io::Result<()> {
    match setsockopt(socket, sockopt::TcpUlp::default(), b"tls") {
        Ok(()) => Ok(()),
        Err(Errno::ENOENT) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the kernel has no TLS; as root, 'modprobe tls' loads it where it is available",
        )),
        Err(errno) => Err(errno.into()),
    }
}

impl SendKey {
    /// The key for the records from number `sequence` on. None if the kernel does not know the
    /// cipher.
    pub fn new(
        version: ProtocolVersion,
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Option<SendKey> {
        let kernel_version = match version {
            ProtocolVersion::TLSv1_3 => libc::TLS_1_3_VERSION,
            ProtocolVersion::TLSv1_2 => libc::TLS_1_2_VERSION,
            _ => return None,
        };
        let info = |cipher_type| libc::tls_crypto_info { version: kernel_version, cipher_type };
        let rec_seq = sequence.to_be_bytes();
        Some(SendKey(match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                let (salt, iv) = gcm_nonce(version, iv)?;
                sockopt::TlsCryptoInfo::Aes128Gcm(libc::tls12_crypto_info_aes_gcm_128 {
                    info: info(libc::TLS_CIPHER_AES_GCM_128),
                    iv,
                    key: *key.as_ref().first_chunk()?,
                    salt,
                    rec_seq,
                })
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                let (salt, iv) = gcm_nonce(version, iv)?;
                sockopt::TlsCryptoInfo::Aes256Gcm(libc::tls12_crypto_info_aes_gcm_256 {
                    info: info(libc::TLS_CIPHER_AES_GCM_256),
                    iv,
                    key: *key.as_ref().first_chunk()?,
                    salt,
                    rec_seq,
                })
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                sockopt::TlsCryptoInfo::Chacha20Poly1305(
                    libc::tls12_crypto_info_chacha20_poly1305 {
                        info: info(libc::TLS_CIPHER_CHACHA20_POLY1305),
                        iv: *iv.as_ref().first_chunk()?,
                        key: *key.as_ref().first_chunk()?,
                        salt: [],
                        rec_seq,
                    },
                )
            }
            _ => return None,
        }))
    }

    /// Makes the kernel encrypt what is sent from now on.
    ///
    /// # Errors
    /// The kernel lacks the cipher or memory.
    pub fn install(&self, socket: &impl AsFd) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::TcpTlsTx, &self.0)?)
    }
}

/// The salt, and from where the kernel continues with the rest of the nonce.
///
/// In TLS 1.3 both xor the same bytes with the number of the record. In TLS 1.2, rustls does, too,
/// but the kernel adds one for each record, so that from the same start it would use the nonces of
/// earlier records again, which reveals the authentication key of GCM (RFC 5288 §3 lets each side
/// choose its nonces). So the kernel starts from a number whose highest bit is the other one and
/// whose low 32 bits are zero: fewer than 2^32 records on either side never change that bit.
fn gcm_nonce(version: ProtocolVersion, iv: &Iv) -> Option<([u8; 4], [u8; 8])> {
    const OTHER_HALF: u64 = 1 << 63;
    const LOW_BITS: u64 = (1 << 32) - 1;
    let (salt, rest) = iv.as_ref().split_first_chunk()?;
    let rest = *rest.first_chunk()?;
    if version == ProtocolVersion::TLSv1_3 {
        return Some((*salt, rest));
    }
    let start = (u64::from_be_bytes(rest) ^ OTHER_HALF) & !LOW_BITS;
    Some((*salt, start.to_be_bytes()))
}

/// Sends an alert on a socket whose output the kernel encrypts, behind all earlier output.
///
/// # Errors
/// Those of sendmsg(2).
pub fn send_alert(socket: &impl AsFd, alert: Alert, flags: SendFlags) -> rustix::io::Result<usize> {
    const ALERT: u8 = 21;
    let payload = match alert {
        Alert::Warning(description) => [1, description.into()],
        Alert::Fatal(description) => [2, description.into()],
    };
    let (payload, control) = ([IoSlice::new(&payload)], record_type(ALERT));
    let message = MsgHdr::new().with_buffers(&payload).with_control(&control);
    // The bits of send(2), which are few and positive.
    let flags = (SendFlags::NOSIGNAL | flags).bits() as libc::c_int;
    let sent = SockRef::from(socket).sendmsg(&message, flags);
    sent.map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

/// The control message (cmsg(3)) that names the type of a record.
fn record_type(kind: u8) -> [u8; CONTROL_BYTES] {
    let mut control = [0; CONTROL_BYTES];
    let length = CONTROL_HEADER_BYTES + size_of_val(&kind);
    let fields = [
        &length.to_ne_bytes()[..],
        &libc::SOL_TLS.to_ne_bytes(),
        &libc::TLS_SET_RECORD_TYPE.to_ne_bytes(),
        &[kind],
    ];
    fields.concat().iter().zip(&mut control).for_each(|(byte, place)| *place = *byte);
    control
}

/// A length, a level and a type.
const CONTROL_HEADER_BYTES: usize = size_of::<usize>() + 2 * size_of::<libc::c_int>();
/// With the type of the record, aligned.
const CONTROL_BYTES: usize = CONTROL_HEADER_BYTES + size_of::<usize>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_repeats_no_nonce_of_rustls_in_tls_12() {
        for start in [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0x1234_5678_9abc_def0] {
            let mut bytes = [0; 12];
            bytes[4..].copy_from_slice(&u64::to_be_bytes(start));
            let (_, continued) = gcm_nonce(ProtocolVersion::TLSv1_2, &Iv::from(bytes))
                .expect("a nonce has 12 bytes");
            let continued = u64::from_be_bytes(continued);
            let half = |nonce: u64| nonce >> 63;
            for records in [0, 1, 1 << 24, (1 << 32) - 1] {
                assert_eq!(half(start ^ records), half(start));
                assert_ne!(half(continued + records), half(start));
            }
        }
    }

    #[test]
    fn tls_13_continues_with_the_nonces_of_rustls() {
        let iv = Iv::from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let nonce = gcm_nonce(ProtocolVersion::TLSv1_3, &iv);
        assert_eq!(nonce, Some(([1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12])));
    }
}
