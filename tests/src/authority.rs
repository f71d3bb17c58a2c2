//! Certificates for tests, made afresh: an authority that signs them, and what a client needs of both.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, SanType,
};

use crate::error::HarnessError;

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

/// How a client of the collector makes sure that it is the collector, and what it shows to it.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// The certificate of who signed the collector's, in PEM.
    pub authority: String,
    /// A certificate and its key, in PEM.
    pub identity: Option<String>,
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if no key can be made.
    pub fn new() -> Result<Self, HarnessError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A certificate for this subject and these other names.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn sign(
        &self,
        subject: DistinguishedName,
        alternatives: Vec<SanType>,
    ) -> Result<Identity, HarnessError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = alternatives;
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer);
        Ok(Identity {
            certificate: certificate.map_err(|error| failed(&error))?,
            key,
        })
    }

    /// A certificate for a server on this machine, by its address and as `localhost`.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn server(&self) -> Result<Identity, HarnessError> {
        let here = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let name = "localhost".try_into().map_err(|error| failed(&error))?;
        self.sign(named("server"), vec![here, SanType::DnsName(name)])
    }

    /// A certificate for a client.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn client(&self) -> Result<Identity, HarnessError> {
        self.sign(named("client"), Vec::new())
    }

    /// For clients of what this authority has signed, who show this, if anything.
    #[must_use]
    pub fn trusted_by(&self, client: Option<&Identity>) -> ClientTls {
        ClientTls {
            authority: self.certificate.pem(),
            identity: client.map(|it| it.certificate.pem() + &it.key_pem()),
        }
    }
}

impl Identity {
    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The key, by PKCS#8 in DER.
    #[must_use]
    pub fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// Writes both into a folder as Kubernetes names them: `tls.crt` and `tls.key`.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), HarnessError> {
        for (name, text) in [
            ("tls.crt", self.certificate.pem()),
            ("tls.key", self.key_pem()),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text)
                .map_err(HarnessError::io(format!("write {}", file.display())))?;
        }
        Ok(())
    }
}

/// A subject with this common name.
#[must_use]
pub fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn new_key() -> Result<KeyPair, HarnessError> {
    KeyPair::generate().map_err(|error| failed(&error))
}

fn failed(error: &rcgen::Error) -> HarnessError {
    HarnessError::Unexpected {
        doing: "make a certificate".to_owned(),
        answer: error.to_string(),
    }
}
