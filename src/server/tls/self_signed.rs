//! A certificate that the server makes for itself, to try things out.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::server::network::network_addresses;
use crate::server::sockets::ListenAddress;

/// A certificate whose key is nowhere but in the memory of this process.
#[derive(Debug)]
pub struct SelfSigned {
    pub pair: CertifiedKey,
    /// SHA-256, in hexadecimal with colons.
    pub fingerprint: String,
}

/// Longer than a trial run needs, and short enough that a browser's exception for this certificate
/// does not stay useful to an attacker who has obtained the key from a memory dump.
const VALID_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The clock of a phone may be behind.
const VALID_BEFORE: Duration = Duration::from_secs(86_400);

impl SelfSigned {
    /// Makes a certificate for the names of this machine and the addresses at which a server that
    /// listens at `addresses` is reached.
    pub fn make(addresses: &[ListenAddress]) -> Result<SelfSigned, Box<dyn std::error::Error>> {
        let mut parameters = CertificateParams::new(names(addresses))?;
        let now = SystemTime::now();
        parameters.not_before = (now - VALID_BEFORE).into();
        parameters.not_after = (now + VALID_FOR).into();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "miniweb (self-signed)");
        // Trusting this certificate must not imply trust in certificates that its key signs.
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // ECDSA with P-256, which every client supports.
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.der().clone();
        let digest = Sha256::digest(&certificate);
        let hexadecimal: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        let pair = CertifiedKey::from_der(vec![certificate], key.into(), &default_provider())?;
        Ok(SelfSigned { pair, fingerprint: hexadecimal.join(":") })
    }
}

/// The names and addresses that a client may use.
fn names(addresses: &[ListenAddress]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    // Others have no place in a certificate.
    if !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    {
        // By which other machines find it with multicast DNS (RFC 6762).
        names.extend((!host.contains('.')).then(|| format!("{host}.local")));
        names.push(host);
    }
    let listening = addresses.iter().filter_map(ListenAddress::tcp);
    let reachable = network_addresses(addresses).into_iter().chain(listening);
    let reachable = reachable.map(|address| address.ip());
    names.extend(reachable.filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string()));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::server::tls::pair::Validity;

    impl SelfSigned {
        /// What a client trusts that is to accept the certificate.
        pub fn roots(&self) -> rustls::RootCertStore {
            let mut roots = rustls::RootCertStore::empty();
            let certificate = self.pair.end_entity_cert().expect("there is one").clone();
            roots.add(certificate.into_owned()).expect("it is valid");
            roots
        }
    }

    #[test]
    fn the_certificate_has_the_names_and_addresses_of_this_machine() {
        let listening = ListenAddress::Tcp("192.0.2.7:443".parse().expect("an address"));
        let made = SelfSigned::make(&[listening]).expect("random bytes");
        let certificate = made.pair.end_entity_cert().expect("there is one");
        let parsed = rustls::server::ParsedCertificate::try_from(certificate).expect("valid DER");
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7"] {
            let name = ServerName::try_from(name).expect("a valid name");
            rustls::client::verify_server_name(&parsed, &name)
                .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
        let other = ServerName::try_from("example.org").expect("a valid name");
        assert!(rustls::client::verify_server_name(&parsed, &other).is_err());
        assert_eq!(made.fingerprint.len(), 95);
    }

    #[test]
    fn it_is_valid_for_a_month() {
        let made = SelfSigned::make(&[]).expect("random bytes");
        let validity = |now| Validity::of(&made.pair, &default_provider(), now);
        let now = SystemTime::now();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(validity(now), Validity::Present);
        assert_eq!(validity(now + days(29)), Validity::Present);
        assert!(matches!(validity(now + days(31)), Validity::Past(end) if end > now + days(29)));
        assert!(matches!(validity(now - days(2)), Validity::Future(start) if start < now));
    }
}
