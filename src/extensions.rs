//! The certificate extensions under 1.3.6.1.4.1.57264.1: one table, one row each.
//!
//! ```text
//! Extension ::= SEQUENCE {
//!   extnID    06 0a 2b 06 01 04 01 83 bf 30 01 <arc>     1.3.6.1.4.1.57264.1.<arc>
//!   critical  absent                                     never critical
//!   extnValue OCTET STRING                               .1 to .6: the text's own octets
//! }                                                      .8 to .24: a DER UTF8String
//! ```
//!
//! Arc 7 is no extension: it is the type of the otherName in which a username stands.
//!
//! Spec: sigstore/fulcio, `docs/oid-info.md`.

/// How an extension's value holds its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// The text's own octets, with no ASN.1 around them.
    Raw,
    /// A DER `UTF8String`.
    Utf8,
}

/// One extension: its last arc, its names, its encoding. Rows compare by arc.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The last arc of the OID.
    pub arc: u8,
    /// The name in YAML files and records (`source-repository-uri`).
    pub name: &'static str,
    /// The name in Fulcio's JSON files (`SourceRepositoryURI`).
    pub json: &'static str,
    /// How the value holds the text.
    pub encoding: Encoding,
}

const fn raw(arc: u8, name: &'static str, json: &'static str) -> Row {
    Row { arc, name, json, encoding: Encoding::Raw }
}

const fn utf8(arc: u8, name: &'static str, json: &'static str) -> Row {
    Row { arc, name, json, encoding: Encoding::Utf8 }
}

/// Every extension, ascending by arc: the order in which a certificate carries them.
pub static TABLE: [Row; 23] = [
    raw(1, "issuer-v1", "IssuerV1"),
    raw(2, "github-workflow-trigger", "GithubWorkflowTrigger"),
    raw(3, "github-workflow-sha", "GithubWorkflowSHA"),
    raw(4, "github-workflow-name", "GithubWorkflowName"),
    raw(5, "github-workflow-repository", "GithubWorkflowRepository"),
    raw(6, "github-workflow-ref", "GithubWorkflowRef"),
    utf8(8, "issuer", "Issuer"),
    utf8(9, "build-signer-uri", "BuildSignerURI"),
    utf8(10, "build-signer-digest", "BuildSignerDigest"),
    utf8(11, "runner-environment", "RunnerEnvironment"),
    utf8(12, "source-repository-uri", "SourceRepositoryURI"),
    utf8(13, "source-repository-digest", "SourceRepositoryDigest"),
    utf8(14, "source-repository-ref", "SourceRepositoryRef"),
    utf8(15, "source-repository-identifier", "SourceRepositoryIdentifier"),
    utf8(16, "source-repository-owner-uri", "SourceRepositoryOwnerURI"),
    utf8(17, "source-repository-owner-identifier", "SourceRepositoryOwnerIdentifier"),
    utf8(18, "build-config-uri", "BuildConfigURI"),
    utf8(19, "build-config-digest", "BuildConfigDigest"),
    utf8(20, "build-trigger", "BuildTrigger"),
    utf8(21, "run-invocation-uri", "RunInvocationURI"),
    utf8(22, "source-repository-visibility-at-signing", "SourceRepositoryVisibilityAtSigning"),
    utf8(23, "deployment-environment", "DeploymentEnvironment"),
    utf8(24, "subject", "Subject"),
];

/// A row of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(&'static Row);

impl Extension {
    /// The token's issuer, as verifiers of old read it.
    pub const ISSUER_V1: Self = Self(&TABLE[0]);
    /// The token's issuer.
    pub const ISSUER: Self = Self(&TABLE[6]);
    /// The token's `sub`.
    pub const SUBJECT: Self = Self(&TABLE[22]);

    /// Every extension, in table order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The extension that YAML files call `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|extension| extension.0.name == name)
    }

    /// The extension that Fulcio's JSON files call `name`.
    pub fn named_json(name: &str) -> Option<Self> {
        Self::all().find(|extension| extension.0.json == name)
    }

    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        self.0
    }

    /// Its name in YAML files and records.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The last arc of its OID.
    pub fn arc(self) -> u8 {
        self.0.arc
    }

    /// Its whole OID as DER, tag and length included.
    pub fn oid(self) -> [u8; 12] {
        [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, self.0.arc]
    }
}

/// The extensions of one certificate: one text for each row at most, never empty, in table order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions(Vec<(Extension, String)>);

impl Default for Extensions {
    fn default() -> Self {
        Self(Vec::with_capacity(TABLE.len()))
    }
}

impl Extensions {
    /// Sets an extension; empty text leaves it out.
    pub fn set(&mut self, extension: Extension, value: String) {
        let place = self.find(extension);
        if let Ok(at) = place {
            self.0.remove(at);
        }
        if !value.is_empty() {
            self.0.insert(place.unwrap_or_else(|at| at), (extension, value));
        }
    }

    /// The text of an extension, if the certificate has it.
    pub fn get(&self, extension: Extension) -> Option<&str> {
        let at = self.find(extension).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// Every extension with its text, in table order.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, &str)> {
        self.0.iter().map(|(extension, value)| (*extension, value.as_str()))
    }

    /// Where an extension stands, or would stand.
    fn find(&self, extension: Extension) -> Result<usize, usize> {
        self.0.binary_search_by_key(&extension.arc(), |(known, _)| known.arc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_ascend_without_seven() {
        let arcs: Vec<u8> = Extension::all().map(Extension::arc).collect();
        let expected: Vec<u8> = (1..=6).chain(8..=24).collect();
        assert_eq!(arcs, expected);
    }

    #[test]
    fn only_the_first_six_are_raw() {
        for extension in Extension::all() {
            assert_eq!(extension.row().encoding == Encoding::Raw, extension.arc() <= 6);
        }
    }

    #[test]
    fn each_name_leads_back_to_its_row() {
        for extension in Extension::all() {
            assert_eq!(Extension::named(extension.name()), Some(extension));
            assert_eq!(Extension::named_json(extension.row().json), Some(extension));
        }
        assert_eq!(Extension::named("sourceRepositoryUri"), None);
    }

    #[test]
    fn the_three_that_every_certificate_has_are_where_they_belong() {
        assert_eq!(Extension::ISSUER_V1.arc(), 1);
        assert_eq!(Extension::ISSUER.arc(), 8);
        assert_eq!(Extension::SUBJECT.arc(), 24);
    }

    #[test]
    fn oids_are_what_another_encoder_makes_of_them() {
        use der::Encode;
        for extension in Extension::all() {
            let text = format!("1.3.6.1.4.1.57264.1.{}", extension.arc());
            let oid = der::oid::ObjectIdentifier::new(&text).unwrap();
            assert_eq!(oid.to_der().unwrap(), extension.oid());
        }
    }

    #[test]
    fn values_stand_in_table_order_and_empty_ones_are_left_out() {
        let mut extensions = Extensions::default();
        extensions.set(Extension::SUBJECT, "alice".into());
        extensions.set(Extension::ISSUER_V1, "https://idp.example".into());
        extensions.set(Extension::ISSUER, String::new());
        extensions.set(Extension::SUBJECT, "bob".into());
        let all: Vec<_> = extensions.iter().collect();
        assert_eq!(
            all,
            [(Extension::ISSUER_V1, "https://idp.example"), (Extension::SUBJECT, "bob")]
        );

        extensions.set(Extension::SUBJECT, String::new());
        assert_eq!(extensions.get(Extension::SUBJECT), None);
        assert_eq!(extensions.get(Extension::ISSUER_V1), Some("https://idp.example"));
    }
}
