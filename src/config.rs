//! `mayfly.yaml` and Fulcio's issuer file → the types above.
//!
//! Two readers, one result: [`load`] reads our own file, [`load_fulcio`] an issuer file of Fulcio's as
//! it is. Both collect everything that is wrong ([`ConfigErrors`]): each complaint has the file, the
//! line, the key and what was expected.
//!
//! **Default deny.** An issuer that serves more than one tenant vouches for strangers: one whose preset
//! is marked `shared`, one in the list of known shared issuers, and every pattern. Such an issuer needs
//! `allow` rules, or the words `allow: anybody`, before it is trusted. Any other issuer is its
//! operator's own: without `allow` it is trusted as a whole.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::issuer::Issuers;
use crate::policy::Policy;
use crate::quote::visible;

mod address;
mod changes;
mod choice;
mod claims;
mod files;
mod fulcio;
mod issuers;
mod kinds;
mod log;
mod mayfly;
mod node;
mod patrons;
mod presets;
mod provider;
mod proxy;
mod reader;
mod rules;
mod shared;
mod signatures;
mod timestamps;
mod trusted;

pub use crate::config::changes::Changes;
pub use crate::config::files::{Files, Text};
pub use crate::config::fulcio::Imported;
pub use crate::config::log::{LogConfig, Readers};
pub use crate::config::mayfly::TABLES;
pub use crate::config::patrons::Patrons;
pub use crate::config::proxy::Proxy;
pub use crate::config::reader::Table;
pub use crate::config::timestamps::TimestampConfig;

use crate::config::address::Address;
use crate::config::fulcio::Repeated;
use crate::config::node::{Node, Notation, Source, SyntaxError};
use crate::config::reader::{Cursor, Report};

/// Everything that a file says, checked and parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one name clients use: scheme, host and port; no trailing slash. Where nobody wrote one it
    /// is the listener's, with its port, be that 0.
    pub url: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of database and keys.
    pub data: PathBuf,
    /// Certificate and key of the listener; None: plain HTTP.
    pub tls: Option<Tls>,
    /// Whose tokens are trusted.
    pub issuers: Issuers,
    /// Who of them may have a certificate.
    pub policy: Policy,
    /// The authority's key and chain.
    pub authority: AuthorityFiles,
    /// How long a certificate is valid: 1 to 10 minutes.
    pub lifetime: Duration,
    /// How long before issuance it begins to be valid: at most a minute.
    pub backdate: Duration,
    /// Through what issuers are asked for their keys.
    pub proxy: Proxy,
    /// What it was read from: the file itself, and the CA files and key sets that it names.
    pub files: Files,
    /// What callers are told of the rules that refuse them.
    pub denials: Denials,
    /// Who may read what was issued, and what is kept of it.
    pub log: LogConfig,
    /// Whose signatures the signature log takes.
    pub signatures: Patrons,
    /// Who gets timestamps, and by what the clock is judged.
    pub timestamps: TimestampConfig,
    /// What is odd in the file and harmless: one sentence each, with file and line.
    pub warnings: Vec<String>,
    /// The issuers in words, in the order of the file.
    pub summaries: Vec<IssuerSummary>,
}

/// Files of the listener's certificate, PEM; read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, then its intermediates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Files of the authority, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// The signing key.
    pub key: PathBuf,
    /// The issuing certificate first, the root last.
    pub chain: PathBuf,
    /// The passphrase of the key, first line of this file.
    pub passphrase_file: Option<PathBuf>,
}

/// What a caller whom the rules refuse is told of them. Our own log says everything either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Denials {
    /// The rule, the claim, what it wants and what it got.
    #[default]
    Full,
    /// That there is no certificate for this identity, and no more.
    Brief,
}

/// One issuer in words, for `mayfly check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSummary {
    /// Its URL, or the pattern.
    pub url: String,
    /// Its type, and for CI providers the name: `ci (github)`.
    pub kind: String,
    /// What a token's `aud` must name one of.
    pub audiences: Vec<String>,
    /// Who may have a certificate: `anybody`, `2 rules (release, main), 1 denial`.
    pub who: String,
}

/// What the command line says about things that a file says too; it wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--url`
    pub url: Option<String>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--allow-anybody`: shared issuers of a Fulcio file, which has no rules, are trusted as a whole.
    pub allow_anybody: bool,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, counted from 1, where there is one.
    pub line: Option<usize>,
    /// The key with its path (`issuers[0].allow[1].ref`); empty for the file as a whole.
    pub key: String,
    /// What was expected, or what to change.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", visible(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", visible(&self.key))?;
        }
        write!(f, ": {}", visible(&self.message))
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One complaint a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads `mayfly.yaml`. Relative paths in it are relative to its folder.
///
/// # Errors
///
/// [`ConfigErrors`] with everything that is wrong with it.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let file = path.display().to_string();
    let (text, stamp) = files::read(path).map_err(|reason| whole(&file, None, reason))?;
    let mut config = load_text(path, &text, overrides)?;
    config.files.insert(path, stamp);
    Ok(config)
}

/// Reads the text of a `mayfly.yaml` that need not be at `path` yet.
///
/// # Errors
///
/// [`ConfigErrors`] with everything that is wrong with it.
pub fn load_text(path: &Path, text: &str, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let file = path.display().to_string();
    let source = Source { text, notation: Notation::Yaml };
    let folder = path.parent().unwrap_or(Path::new(""));
    let root = parse(&file, source)?;
    if source.has_more() {
        return Err(whole(&file, None, "expected one YAML document, got several"));
    }
    let read = |root: &Cursor<'_>| mayfly::read(root, folder, overrides);
    let (config, gathered) = finish(&file, source, &root, read)?;
    Ok(config.gathered(gathered))
}

/// Reads an issuer file of Fulcio's, JSON or YAML, and takes the defaults for everything else.
///
/// What Fulcio loads and can never use (an unknown type, an entry whose `issuer-url` is not its key)
/// is left out with a warning; what Fulcio refuses is an error here too.
///
/// # Errors
///
/// [`ConfigErrors`] with everything that is wrong with it.
pub fn load_fulcio(path: &Path, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let read = |root: &Cursor<'_>, _: &str| fulcio::read(root, overrides);
    let (config, gathered) = read_fulcio(path, Repeated::Warned, read)?;
    Ok(config.gathered(gathered))
}

/// Writes an issuer file of Fulcio's as a `mayfly.yaml`.
///
/// A shared issuer gets no rule but a comment that asks for one, and the result does not load until
/// somebody decides; with `allow_anybody` it is trusted as a whole, as Fulcio does.
///
/// # Errors
///
/// [`ConfigErrors`] with everything that is wrong with the issuer file.
pub fn import_fulcio(path: &Path, allow_anybody: bool) -> Result<Imported, ConfigErrors> {
    let read = |root: &Cursor<'_>, text: &str| fulcio::import(root, text, allow_anybody);
    let (mut imported, gathered) = read_fulcio(path, Repeated::Refused, read)?;
    imported.notes.extend(gathered.warnings);
    Ok(imported)
}

/// What reading a file yields beside what the file says.
struct Gathered {
    warnings: Vec<String>,
    files: Files,
}

impl Config {
    /// Whether it is for this machine alone: it listens on loopback, and its URL says so, too. Behind a
    /// proxy the first is true and the second is not.
    pub fn is_local(&self) -> bool {
        // `http://127.0.0.1:0` until the listener has its port is no address to parse.
        let url = self.url.strip_suffix(":0").unwrap_or(&self.url);
        let is_local = Address::parse(url).is_ok_and(|address| address.is_loopback());
        self.listen.ip().is_loopback() && is_local
    }

    /// The authority's files, where they are not those that a data folder has of its own.
    pub fn given_authority(&self) -> Option<&AuthorityFiles> {
        let own = AuthorityFiles::below(&self.data);
        let same = |one: &Path, other: &Path| {
            std::path::absolute(one).ok() == std::path::absolute(other).ok()
        };
        let AuthorityFiles { key, chain, passphrase_file: _ } = &self.authority;
        let is_own = same(key, &own.key) && same(chain, &own.chain);
        (!is_own).then_some(&self.authority)
    }

    fn gathered(self, Gathered { warnings, files }: Gathered) -> Self {
        Self { warnings, files, ..self }
    }
}

/// Reads an issuer file of Fulcio's; yields the warnings as well.
fn read_fulcio<T>(
    path: &Path,
    repeated: Repeated,
    read: impl FnOnce(&Cursor<'_>, &str) -> Option<T>,
) -> Result<(T, Gathered), ConfigErrors> {
    let file = path.display().to_string();
    let (text, stamp) = files::read(path).map_err(|reason| whole(&file, None, reason))?;
    let source = Source { text: &text, notation: fulcio::notation(&text) };
    let mut root = parse(&file, source)?;
    let (strays, others) = match source.notation {
        Notation::Json => (fulcio::rename(&mut root), fulcio::keep_last(&mut root)),
        Notation::Yaml => (Vec::new(), Vec::new()),
    };
    let (found, mut gathered) = finish(&file, source, &root, |root| {
        if fulcio::is_ours(root) {
            return root.fail("this is a mayfly.yaml, no issuer file of Fulcio's: use --config");
        }
        fulcio::refuse_strays(root, &strays);
        repeated.tell(root, &others);
        if source.has_more() {
            root.warn("several YAML documents: as in Fulcio, the first alone is read");
        }
        // JSON has no comments.
        read(root, if source.notation == Notation::Yaml { &text } else { "" })
    })?;
    gathered.files.insert(path, stamp);
    Ok((found, gathered))
}

/// Reads the tree, and yields what is read and the warnings, or every complaint.
fn finish<'a, T>(
    file: &'a str,
    source: Source<'a>,
    root: &'a Node,
    read: impl FnOnce(&Cursor<'_>) -> Option<T>,
) -> Result<(T, Gathered), ConfigErrors> {
    let report = Report::new(file, source);
    let found = read(&Cursor::root(&report, root));
    let files = report.files();
    let warnings = report.finish()?;
    // Whoever yields nothing has complained, and `finish` has returned.
    let found = found.ok_or_else(|| whole(file, None, "is no configuration"))?;
    Ok((found, Gathered { warnings, files }))
}

fn parse(file: &str, source: Source<'_>) -> Result<Node, ConfigErrors> {
    source.parse().map_err(|SyntaxError { line, reason }| {
        let notation = match source.notation {
            // Broken JSON is read as YAML, which all good JSON is.
            Notation::Yaml if source.text.trim_start().starts_with('{') => "neither JSON nor YAML",
            Notation::Yaml => "not YAML",
            Notation::Json => "not JSON",
        };
        whole(file, line, format!("{notation}: {reason}"))
    })
}

/// An error about a file as a whole.
fn whole(file: &str, line: Option<usize>, message: impl Into<String>) -> ConfigErrors {
    let (file, message) = (file.to_owned(), message.into());
    ConfigErrors(vec![ConfigError { file, line, key: String::new(), message }])
}
