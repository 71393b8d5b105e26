//! `mayfly init`: makes a real installation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args as ClapArgs;
use zeroize::Zeroizing;

use super::CommandError;
use super::style::Style;
use crate::installation::{self, Curve, Options};
use crate::time::{Clock, SystemClock};

/// Make a new installation: keys, certificates and a commented configuration
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  \
    mayfly init /srv/mayfly --url https://ca.example.com --issuer github=acme")]
pub struct Args {
    /// The folder; must be absent or empty.
    directory: PathBuf,
    /// The one name that clients will use.
    #[arg(long, default_value = "http://127.0.0.1:5555")]
    url: String,
    /// Trust this issuer for one owner: github=OWNER or gitlab=GROUP; may be repeated
    #[arg(long = "issuer", value_name = "PRESET=OWNER")]
    issuers: Vec<Issuer>,
    /// Keys of the authority on P-384 instead of P-256
    #[arg(long)]
    p384: bool,
    /// Encrypt the key files with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// `--issuer`: a preset, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Issuer {
    GitHub(String),
    GitLab(String),
}

impl FromStr for Issuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        match text.split_once('=') {
            Some((_, owner)) if owner.is_empty() || !owner.chars().all(allowed) => {
                Err(format!("{owner:?} is no owner or group"))
            }
            Some(("github", owner)) => Ok(Self::GitHub(owner.to_owned())),
            Some(("gitlab", group)) => Ok(Self::GitLab(group.to_owned())),
            _ => {
                Err("expected github=OWNER or gitlab=GROUP; others go into mayfly.yaml".to_owned())
            }
        }
    }
}

impl Issuer {
    /// The issuer's lines of `mayfly.yaml`.
    fn yaml(&self) -> String {
        match self {
            Self::GitHub(id) if id.bytes().all(|b| b.is_ascii_digit()) => {
                format!("  - preset: github\n    allow:\n      - repository_owner_id: \"{id}\"\n")
            }
            Self::GitHub(owner) => format!(
                "  - preset: github\n    allow:\n      \
                 # A name can change hands, its number cannot: better repository_owner_id: \"…\"\n      \
                 - repository_owner: \"{owner}\"\n"
            ),
            Self::GitLab(group) => format!(
                "  - preset: gitlab\n    allow:\n      \
                 - namespace_path: [ \"{group}\", \"{group}/*\" ]\n"
            ),
        }
    }
}

/// Runs `mayfly init`.
///
/// # Errors
///
/// [`CommandError::Usage`] when the folder holds anything, [`CommandError::Failed`] when it cannot be made.
pub fn run(args: Args) -> Result<(), CommandError> {
    let directory = &args.directory;
    if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CommandError::Usage(format!(
            "{} is not empty; name a folder that does not exist yet",
            directory.display()
        )));
    }
    let curve = if args.p384 { Curve::P384 } else { Curve::P256 };
    let passphrase = passphrase(args.passphrase_file.as_deref())?;
    std::fs::create_dir_all(directory).map_err(CommandError::failed)?;
    make(&directory.join("data"), &args.url, curve, passphrase.as_ref().map(|text| text.as_str()))?;
    let file = directory.join("mayfly.yaml");
    std::fs::write(&file, configuration(&args)).map_err(CommandError::failed)?;
    report(directory, &file);
    Ok(())
}

/// Makes keys, certificates and an empty log in `data`, all named after `url`.
///
/// # Errors
///
/// [`CommandError::Failed`] when `data` holds anything or cannot be written.
pub fn make(
    data: &Path,
    url: &str,
    curve: Curve,
    passphrase: Option<&str>,
) -> Result<(), CommandError> {
    let (name, now) = (host(url), SystemClock.now());
    let options = Options { url, organization: name, common_name: name, curve, passphrase, now };
    installation::create(data, &options).map_err(CommandError::failed)
}

/// The passphrase in a file: its first line.
///
/// # Errors
///
/// [`CommandError::Usage`] when it cannot be read or is empty.
pub fn passphrase(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, CommandError> {
    let Some(file) = file else { return Ok(None) };
    let wrong = |why: String| CommandError::Usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Zeroizing::new(line.to_owned()))),
        _ => Err(wrong("there is no passphrase in it".to_owned())),
    }
}

/// The host of a URL, for the names of certificates.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

/// The commented `mayfly.yaml` of a new installation.
fn configuration(args: &Args) -> String {
    let listen = args.url.strip_prefix("http://").filter(|rest| rest.starts_with("127.0.0.1:"));
    let mut yaml = format!(
        "# Mayfly's configuration. Every key is explained in config/mayfly.yaml of the sources;\n\
         # `mayfly check` says what is wrong with this file.\n\n\
         url: {url}            # the one name clients use\n\
         listen: {listen}\n\
         data: data            # database and keys\n",
        url = args.url,
        listen = listen.unwrap_or("0.0.0.0:5555"),
    );
    if let Some(file) = &args.passphrase_file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let _ = write!(
            yaml,
            "authority:\n  key: data/authority.key\n  chain: data/authority.pem\n  passphrase_file: {}\n",
            file.display()
        );
    }
    yaml.push_str("\n# Who may vouch for whom: no rule, no certificate.\nissuers:");
    if args.issuers.is_empty() {
        yaml.push_str(
            " []\n#  - preset: github\n#    allow:\n#      - repository_owner: \"acme\"\n",
        );
    } else {
        yaml.push('\n');
        args.issuers.iter().for_each(|issuer| yaml.push_str(&issuer.yaml()));
    }
    yaml
}

fn report(directory: &Path, file: &Path) {
    let style = Style::of_stdout();
    let root_key = directory.join("data/root.key");
    println!("{} {}", style.good("made"), directory.display());
    println!();
    println!(
        "Move the root key off this machine; it is needed again only to renew the issuing key:"
    );
    println!("  {}", style.strong(&root_key.display().to_string()));
    println!("Next:");
    println!("  mayfly serve --config {}", file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_issuers() {
        assert_eq!("github=acme".parse(), Ok(Issuer::GitHub("acme".to_owned())));
        assert_eq!("gitlab=a/b".parse(), Ok(Issuer::GitLab("a/b".to_owned())));
        for wrong in ["github", "github=", "github=a\"b", "github=a b", "circleci=x"] {
            assert!(wrong.parse::<Issuer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn finds_the_host() {
        assert_eq!(host("https://ca.example.com:8443/x"), "ca.example.com");
        assert_eq!(host("ca.example.com"), "ca.example.com");
    }
}
