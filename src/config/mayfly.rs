//! `mayfly.yaml`, the top of the file: everything but the issuers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::address::Address;
use crate::config::issuers::{self, ISSUER, KEYS};
use crate::config::log::{self, LOG, LogConfig, RECORDS};
use crate::config::patrons::Patrons;
use crate::config::proxy;
use crate::config::reader::{Cursor, Section, Table};
use crate::config::signatures::{self, SIGNATURES};
use crate::config::timestamps::{self, TIMESTAMPS, TimestampConfig};
use crate::config::trusted::{Trusted, assemble};
use crate::config::{AuthorityFiles, Config, Denials, Files, Overrides, Proxy, Tls};
use crate::quote::quote;

const TOP: Table = Table {
    section: "",
    keys: &[
        "url",
        "listen",
        "data",
        "tls",
        "proxy",
        "no_proxy",
        "issuers",
        "authority",
        "lifetime",
        "backdate",
        "denials",
        "log",
        "keep_refusals",
        "signatures",
        "timestamps",
    ],
    later: &["limit"],
    strict: true,
};

const TLS: Table =
    Table { section: "tls", keys: &["certificate", "key"], later: &[], strict: true };

const AUTHORITY: Table = Table {
    section: "authority",
    keys: &["key", "chain", "passphrase_file"],
    later: &[],
    strict: true,
};

/// Every map of `mayfly.yaml` whose keys are fixed.
pub const TABLES: &[Table] =
    &[TOP, TLS, ISSUER, KEYS, AUTHORITY, LOG, RECORDS, SIGNATURES, TIMESTAMPS];

/// Keys on devices and in clouds: promised, and refused until they work.
const LATER_KEYS: &[&str] = &["pkcs11:", "awskms://", "gcpkms://", "azurekms://", "hashivault://"];

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5555);

/// Clients are promised ten minutes at most; below one, clocks that differ a little are trouble.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(600);

const BACKDATES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

/// Reads the whole file; paths in it are relative to `folder`.
pub(super) fn read(root: &Cursor<'_>, folder: &Path, overrides: &Overrides) -> Option<Config> {
    let section = root.section(&TOP)?;
    let listen = match (overrides.listen, section.get("listen")) {
        (Some(listen), _) => Some(listen),
        (None, Some(cursor)) => read_listen(cursor),
        (None, None) => Some(LISTEN),
    };
    let scheme = if section.get("tls").is_some() { "https" } else { "http" };
    let url = match (&overrides.url, section.get("url")) {
        (Some(url), _) => own_url(root, url, "--url: "),
        (None, Some(cursor)) => cursor.text().and_then(|url| own_url(cursor, url, "")),
        (None, None) => listen.and_then(|listen| listener_url(root, listen, scheme)),
    };
    if let Some(url) = url.as_ref().filter(|url| url.starts_with("http://") && scheme == "https") {
        root.refuse(format!("clients would ask {url}, and `tls` makes the listener https://"));
    }
    let data = match (&overrides.data, section.get("data")) {
        (Some(data), _) => Some(data.clone()),
        (None, Some(cursor)) => path(cursor, folder),
        (None, None) => Some(folder.join("data")),
    };
    let tls = section.get("tls").map_or(Some(None), |cursor| read_tls(cursor, folder).map(Some));
    let authority = match section.get("authority") {
        Some(cursor) => read_authority(cursor, folder),
        None => data.as_deref().map(AuthorityFiles::below),
    };
    let lifetime =
        section.get("lifetime").map_or(Some(*LIFETIMES.end()), |cursor| cursor.duration(LIFETIMES));
    let backdate =
        section.get("backdate").map_or(Some(Duration::ZERO), |cursor| cursor.duration(BACKDATES));
    let proxy = proxy::read(&section);
    let denials = section.get("denials").map_or(Some(Denials::Full), read_denials);
    let log = log::read(&section, folder);
    let signatures = signatures::read(&section);
    let timestamps = timestamps::read(&section);
    let issuers = section.require("issuers").and_then(|cursor| issuers::read(cursor, folder));
    let (issuers, policy, summaries) = assemble(issuers?);
    Some(Config {
        url: url?,
        listen: listen?,
        data: data?,
        tls: tls?,
        issuers,
        policy,
        authority: authority?,
        lifetime: lifetime?,
        backdate: backdate?,
        proxy: proxy?,
        files: Files::default(),
        denials: denials?,
        log: log?,
        signatures: signatures?,
        timestamps: timestamps?,
        warnings: Vec::new(),
        summaries,
    })
}

/// What a Fulcio issuer file leaves open: everything but the issuers.
pub(super) fn around(
    root: &Cursor<'_>,
    trusted: Vec<Trusted>,
    overrides: &Overrides,
) -> Option<Config> {
    let listen = overrides.listen.unwrap_or(LISTEN);
    let url = match &overrides.url {
        Some(url) => own_url(root, url, "--url: "),
        None => listener_url(root, listen, "http"),
    };
    let data = overrides.data.clone().unwrap_or_else(|| PathBuf::from("data"));
    let (issuers, policy, summaries) = assemble(trusted);
    Some(Config {
        url: url?,
        listen,
        authority: AuthorityFiles::below(&data),
        data,
        tls: None,
        issuers,
        policy,
        lifetime: *LIFETIMES.end(),
        backdate: Duration::ZERO,
        proxy: Proxy::None,
        files: Files::default(),
        denials: Denials::Full,
        log: LogConfig::default(),
        signatures: Patrons::default(),
        timestamps: TimestampConfig::default(),
        warnings: Vec::new(),
        summaries,
    })
}

impl AuthorityFiles {
    /// The files' places when nothing else is said.
    pub(super) fn below(data: &Path) -> Self {
        let (key, chain) = (data.join("authority.key"), data.join("authority.pem"));
        Self { key, chain, passphrase_file: None }
    }
}

fn read_listen(cursor: &Cursor<'_>) -> Option<SocketAddr> {
    let text = cursor.text()?;
    let listen = text.parse().ok();
    if listen.is_none() {
        cursor.refuse(format!(
            "expected an address and a port such as 0.0.0.0:5555, got {}",
            quote(text)
        ));
    }
    listen
}

/// The URL that clients use, as somebody wrote it; `prefix` says where, if not at the cursor.
fn own_url(cursor: &Cursor<'_>, url: &str, prefix: &str) -> Option<String> {
    let address = match Address::parse(url) {
        Err(error) => return cursor.fail(format!("{prefix}{error}")),
        Ok(address) => address,
    };
    if !matches!(address.path, "" | "/") || address.host.contains('*') {
        return cursor.fail(format!(
            "{prefix}expected scheme, host and port only, such as https://ca.example.com"
        ));
    }
    if address.is_exposed() {
        cursor.warn(format!("{prefix}http:// sends tokens over the network in the clear"));
    }
    Some(address.origin())
}

/// The URL that clients use when nobody wrote one: on loopback the listener's own.
fn listener_url(root: &Cursor<'_>, listen: SocketAddr, scheme: &str) -> Option<String> {
    if listen.ip().is_loopback() {
        return Some(format!("{scheme}://{listen}"));
    }
    root.fail("needs `url` (or --url), the name that clients use, such as https://ca.example.com")
}

fn path(cursor: &Cursor<'_>, folder: &Path) -> Option<PathBuf> {
    cursor.text().map(|text| folder.join(text))
}

fn required_path(section: &Section<'_>, name: &str, folder: &Path) -> Option<PathBuf> {
    section.require(name).and_then(|cursor| path(cursor, folder))
}

fn read_tls(cursor: &Cursor<'_>, folder: &Path) -> Option<Tls> {
    let section = cursor.section(&TLS)?;
    let certificate = required_path(&section, "certificate", folder);
    let key = required_path(&section, "key", folder);
    Some(Tls { certificate: certificate?, key: key? })
}

fn read_denials(cursor: &Cursor<'_>) -> Option<Denials> {
    match cursor.text()? {
        "full" => Some(Denials::Full),
        "brief" => Some(Denials::Brief),
        other => cursor.fail(format!("expected full or brief, got {}", quote(other))),
    }
}

fn read_authority(cursor: &Cursor<'_>, folder: &Path) -> Option<AuthorityFiles> {
    let section = cursor.section(&AUTHORITY)?;
    let key = required_path(&section, "key", folder);
    let chain = required_path(&section, "chain", folder);
    let passphrase_file =
        section.get("passphrase_file").map_or(Some(None), |cursor| path(cursor, folder).map(Some));
    if let Some(cursor) = section.get("key")
        && let Some(text) = cursor.node.text()
        && let Some(scheme) = LATER_KEYS.iter().find(|scheme| text.starts_with(**scheme))
    {
        return cursor.fail(format!("{scheme}… is not supported yet: name a file"));
    }
    Some(AuthorityFiles { key: key?, chain: chain?, passphrase_file: passphrase_file? })
}
