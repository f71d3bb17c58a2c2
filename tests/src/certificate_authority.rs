//! Issues certificates for tests: a new authority each time, servers, clients, and how clients trust them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, SanType,
};

use crate::error::HarnessError;

/// A certificate authority that nothing trusts by default.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate and its private key.
#[derive(Debug)]
pub struct IssuedCertificate {
    certificate: Certificate,
    key: KeyPair,
}

/// How a client of the collector verifies it, and how it authenticates itself.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// The trusted authority's certificate, in PEM.
    pub authority: String,
    /// The client's certificate and key, in PEM.
    pub identity: Option<String>,
}

impl CertificateAuthority {
    /// Makes an authority with a new key.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if no key can be made.
    pub fn new() -> Result<Self, HarnessError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = generate_key()?;
        let certificate = params
            .self_signed(&key)
            .map_err(|error| certificate_error(&error))?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The authority's own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Issues a certificate for this subject and these alternative names.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn issue(
        &self,
        subject: DistinguishedName,
        alternative_names: Vec<SanType>,
    ) -> Result<IssuedCertificate, HarnessError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = alternative_names;
        let key = generate_key()?;
        let certificate = params.signed_by(&key, &self.issuer);
        Ok(IssuedCertificate {
            certificate: certificate.map_err(|error| certificate_error(&error))?,
            key,
        })
    }

    /// Issues a certificate for a server on this machine, by its address and as `localhost`.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn issue_server_certificate(&self) -> Result<IssuedCertificate, HarnessError> {
        let here = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let name = "localhost"
            .try_into()
            .map_err(|error| certificate_error(&error))?;
        self.issue(
            distinguished_name("server"),
            vec![here, SanType::DnsName(name)],
        )
    }

    /// Issues a certificate for a client.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if none can be made.
    pub fn issue_client_certificate(&self) -> Result<IssuedCertificate, HarnessError> {
        self.issue(distinguished_name("client"), Vec::new())
    }

    /// For clients that trust this authority and present this certificate, if any.
    #[must_use]
    pub fn client_tls(&self, client: Option<&IssuedCertificate>) -> ClientTls {
        ClientTls {
            authority: self.certificate.pem(),
            identity: client.map(|it| it.certificate.pem() + &it.key_pem()),
        }
    }
}

impl IssuedCertificate {
    /// The certificate itself.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The key as PKCS#8 in DER.
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
pub fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn generate_key() -> Result<KeyPair, HarnessError> {
    KeyPair::generate().map_err(|error| certificate_error(&error))
}

fn certificate_error(error: &rcgen::Error) -> HarnessError {
    HarnessError::Unexpected {
        doing: "make a certificate".to_owned(),
        answer: error.to_string(),
    }
}
