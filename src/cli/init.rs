//! `mayfly init`: makes a real installation.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args as ClapArgs, ValueEnum};
use serde_json::Value;
use zeroize::Zeroizing;

use super::CommandError;
use super::out::{self, Out};
use crate::config::{self, Overrides};
use crate::installation::{self, Authority, Curve, Options};
use crate::time::{Clock, SystemClock};
use crate::trust::host;

/// Make a new installation: keys, certificates and a commented configuration
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  \
    mayfly init /srv/mayfly --url https://ca.example.com --issuer github=acme --log-readers token")]
pub struct Args {
    /// The folder; must be absent or empty.
    directory: PathBuf,
    /// The one name that clients will use.
    #[arg(long, default_value = "http://127.0.0.1:5555")]
    url: String,
    /// Trust this issuer for one owner: github=OWNER (better its number) or gitlab=GROUP; may be repeated
    #[arg(long = "issuer", value_name = "PRESET=OWNER")]
    issuers: Vec<Issuer>,
    /// Keys of the authority on P-384 instead of P-256
    #[arg(long)]
    p384: bool,
    /// Encrypt the key files with the passphrase in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Who may read the logs, in which every repository name stands: anyone; whoever shows the
    /// token that is made for them; nobody [asked on a terminal where the URL is not on loopback; nobody
    /// elsewhere]
    #[arg(long, value_name = "WHO")]
    log_readers: Option<LogReaders>,
}

/// `--log-readers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogReaders {
    Anyone,
    Token,
    Nobody,
}

/// The file of tokens for readers, beside the configuration.
const TOKEN_FILE: &str = "readers.token";

impl LogReaders {
    /// What `mayfly.yaml` says of it.
    fn yaml(this: Option<Self>) -> String {
        let (readers, records) = match this {
            None => return READERS.to_owned() + "#log: { readers: anyone, records: nobody }\n",
            Some(Self::Anyone) => ("anyone".to_owned(), "nobody".to_owned()),
            Some(Self::Nobody) => ("nobody".to_owned(), "nobody".to_owned()),
            Some(Self::Token) => {
                let file = format!("{{ token_file: {TOKEN_FILE} }}");
                (file.clone(), file)
            }
        };
        format!("{READERS}log:\n  readers: {readers}\n  records: {records}\n")
    }

    /// Asks on a terminal, for an instance whose log is not for this machine alone.
    fn ask() -> Option<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Some(Self::Nobody);
        }
        out::aside(
            "Every certificate stands in the log, with the names of repositories, workflows and branches.\n\
             Who may read it over HTTP?\n  \
             anyone   as a public log\n  token    whoever shows a token, which is made now\n  \
             nobody   you decide later, in mayfly.yaml\n",
        );
        let mut lines = std::io::stdin().lines();
        loop {
            out::aside("[nobody] ");
            let Some(Ok(line)) = lines.next() else { return Some(Self::Nobody) };
            match line.trim() {
                "" => return Some(Self::Nobody),
                answer => match Self::from_str(answer, true) {
                    Ok(readers) => return Some(readers),
                    Err(_) => out::aside("anyone, token or nobody? "),
                },
            }
        }
    }
}

/// The comment above `log` in a new `mayfly.yaml`.
const READERS: &str = "\n# Who may read over HTTP: anyone, nobody, or { token_file: FILE } for whoever shows a token.\n\
    # `readers`: both logs, /ct/ and /tlog/; `records`: all attempts, refused ones too, /api/records\n";

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
    /// The rule of `mayfly.yaml` that lets this owner in, if the issuer is this preset's.
    fn rule(&self, preset: &str) -> Option<String> {
        match (self, preset) {
            (Self::GitHub(id), "github") if id.bytes().all(|b| b.is_ascii_digit()) => {
                Some(format!("      - repository_owner_id: \"{id}\"\n"))
            }
            (Self::GitHub(owner), "github") => Some(format!(
                "      # A name can change hands, its number cannot: better repository_owner_id: \"…\"\n      \
                 - repository_owner: \"{owner}\"\n"
            )),
            (Self::GitLab(group), "gitlab") => {
                Some(format!("      - namespace_path: [ \"{group}\", \"{group}/*\" ]\n"))
            }
            (Self::GitHub(_) | Self::GitLab(_), _) => None,
        }
    }
}

/// Runs `mayfly init`.
///
/// # Errors
///
/// [`CommandError::Usage`] when the folder holds anything, or what was asked for makes no configuration
/// that holds; [`CommandError::Failed`] when it cannot be made. Either way nothing is left behind.
pub fn run(args: Args) -> Result<(), CommandError> {
    let directory = &args.directory;
    if !installation::is_vacant(directory).map_err(CommandError::usage)? {
        return Err(CommandError::Usage(format!(
            "{} is not empty; name a folder that does not exist yet",
            directory.display()
        )));
    }
    let file = directory.join("mayfly.yaml");
    let (url, yaml, readers) = configuration(&args, &file)?;
    let passphrase = passphrase(args.passphrase_file.as_deref())?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let curve = if args.p384 { Curve::P384 } else { Curve::P256 };

    let first = first_missing(directory);
    let (data, token) = (directory.join("data"), directory.join(TOKEN_FILE));
    let made = std::fs::create_dir_all(directory)
        .map_err(|error| CommandError::at(directory, error))
        .and_then(|()| make(&data, &url, curve, passphrase))
        .and_then(|()| match readers {
            Some(LogReaders::Token) => make_token(&token),
            Some(LogReaders::Anyone | LogReaders::Nobody) | None => Ok(()),
        })
        .and_then(|()| std::fs::write(&file, yaml).map_err(|error| CommandError::at(&file, error)));
    if let Err(error) = made {
        // Whatever is there by now is ours: the folder was vacant.
        for left in [Some(data), Some(token), Some(file), first].into_iter().flatten() {
            let _ = std::fs::remove_file(&left).or_else(|_| std::fs::remove_dir_all(&left));
        }
        return Err(error);
    }
    report(directory, &file, readers)
}

/// Makes a file with one token, 256 random bits, for its owner's eyes.
fn make_token(file: &Path) -> Result<(), CommandError> {
    let mut octets = Zeroizing::new([0; 32]);
    let filled = SystemRandom::new().fill(octets.as_mut());
    filled.map_err(|_| CommandError::Failed("the system has no randomness".to_owned()))?;
    let token = Zeroizing::new(format!("{}\n", URL_SAFE_NO_PAD.encode(octets.as_ref())));
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(file);
    made.and_then(|mut made| made.write_all(token.as_bytes()))
        .map_err(|error| CommandError::at(file, error))
}

/// The uppermost folder of `path` that is to be made.
fn first_missing(path: &Path) -> Option<PathBuf> {
    let missing = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err());
    missing.last().map(Path::to_owned)
}

/// Makes keys, certificates and an empty log in `data`, all named after `url`.
///
/// # Errors
///
/// [`CommandError::Failed`] when `data` holds anything or cannot be written.
fn make(
    data: &Path,
    url: &str,
    curve: Curve,
    passphrase: Option<&str>,
) -> Result<(), CommandError> {
    let (authority, now) = (authority(url, curve), SystemClock.now());
    let options = Options { url, authority, passphrase, now };
    installation::create(data, &options).map_err(CommandError::failed)
}

/// A new authority, named after the host of `url`.
pub fn authority(url: &str, curve: Curve) -> Authority<'_> {
    Authority::New { name: host(url), curve }
}

/// The passphrase in a file: its first line.
///
/// # Errors
///
/// [`CommandError::Usage`] when it cannot be read, is empty, or others can read it.
pub fn passphrase(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, CommandError> {
    let Some(file) = file else { return Ok(None) };
    let wrong = |why: String| CommandError::Usage(format!("{}: {why}", file.display()));
    let mode = std::fs::metadata(file).map(|metadata| metadata.permissions().mode() & 0o777);
    let mode = mode.map_err(|error| wrong(error.to_string()))?;
    if mode & 0o077 != 0 {
        return Err(wrong(format!(
            "others than its owner may read this passphrase (mode {mode:o}); run chmod 600 on it"
        )));
    }
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(Zeroizing::new(line.to_owned()))),
        _ => Err(wrong("there is no passphrase in it".to_owned())),
    }
}

/// Where an instance with this URL listens: on loopback at the URL's own port, else everywhere.
fn listener(url: &str) -> SocketAddr {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 5555));
    let Some(rest) = url.strip_prefix("http://") else { return everywhere };
    let local = rest.replacen("localhost", "127.0.0.1", 1);
    let with_port = local.parse().or_else(|_| format!("{local}:80").parse());
    with_port.ok().filter(|listen: &SocketAddr| listen.ip().is_loopback()).unwrap_or(everywhere)
}

/// The URL as the configuration's own reader has it; the commented `mayfly.yaml` of a new installation,
/// which that reader accepts; and who may read the log by it.
fn configuration(
    args: &Args,
    file: &Path,
) -> Result<(String, String, Option<LogReaders>), CommandError> {
    let given = Overrides { url: Some(args.url.clone()), ..Overrides::default() };
    let sound = |text: &str, overrides: &Overrides| {
        config::load_text(file, text, overrides).map_err(|errors| {
            let messages = errors.0.iter().map(|error| match error.key.as_str() {
                "" => error.message.clone(),
                key => format!("{key}: {}", error.message),
            });
            CommandError::Usage(messages.collect::<Vec<_>>().join("\nmayfly: "))
        })
    };
    let url = sound("issuers: []\n", &given)?.url;
    let bare = yaml(args, &url);
    let is_local = sound(&bare, &Overrides::default())?.is_local();
    let asked = || if is_local { None } else { LogReaders::ask() };
    let readers = args.log_readers.or_else(asked);
    let yaml = bare + &LogReaders::yaml(readers);
    sound(&yaml, &Overrides::default())?;
    Ok((url, yaml, readers))
}

fn yaml(args: &Args, url: &str) -> String {
    let mut yaml = format!(
        "# Mayfly's configuration. `mayfly check` says what is wrong with this file, `mayfly check\n\
         # --sample` prints every key with what it means.\n\n\
         # The one name that clients use\n\
         url: {url}\n\
         listen: \"{listen}\"\n\
         # Database and keys\n\
         data: data\n",
        listen = listener(url),
    );
    if url.starts_with("https://") {
        yaml.push_str(
            "# Certificate and key of the listener; leave them out behind a proxy that does TLS\n\
             #tls: { certificate: tls.crt, key: tls.key }\n",
        );
    }
    if let Some(file) = &args.passphrase_file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let _ = write!(
            yaml,
            "authority:\n  key: data/authority.key\n  chain: data/authority.pem\n  passphrase_file: {}\n",
            // JSON's strings are YAML's.
            Value::from(file.display().to_string())
        );
    }
    yaml.push_str("\n# Who may vouch for whom: no rule, no certificate.\nissuers:");
    if args.issuers.is_empty() {
        yaml.push_str(
            " []\n#  - preset: github\n#    allow:\n#      - repository_owner: \"acme\"\n",
        );
        return yaml;
    }
    yaml.push('\n');
    for preset in ["github", "gitlab"] {
        let rules: String = args.issuers.iter().filter_map(|issuer| issuer.rule(preset)).collect();
        if !rules.is_empty() {
            let _ = write!(yaml, "  - preset: {preset}\n    allow:\n{rules}");
        }
    }
    yaml
}

fn report(directory: &Path, file: &Path, readers: Option<LogReaders>) -> Result<(), CommandError> {
    let out = Out::stdout();
    let (program, file) = (out::program(), out::word(file));
    let token = match readers {
        Some(LogReaders::Token) => format!(
            "Whoever may read the log shows the token in this file:\n  {}\n",
            directory.join(TOKEN_FILE).display()
        ),
        Some(LogReaders::Nobody) => {
            "Nobody may read the log over HTTP until `log.readers` says otherwise.\n".to_owned()
        }
        Some(LogReaders::Anyone) | None => String::new(),
    };
    let strong = |name: &str| out.style.strong(&directory.join(name).display().to_string());
    out.print(format_args!(
        "{} {}\n\n{token}\
         Move these keys off this machine:\n  {}, needed again only to renew the issuing key\n  {}, needed again only by `rotate tuf`\n\
         Next:\n  {program} check --config {file}\n  {program} serve --config {file}\n",
        out.style.good("made"),
        directory.display(),
        strong("data/root.key"),
        strong("data/tuf/1.key"),
    ))
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

    #[track_caller]
    fn check_listener(url: &str, expected: &str) {
        assert_eq!(listener(url).to_string(), expected, "{url}");
    }

    #[test]
    fn listens_where_the_url_leads() {
        check_listener("http://127.0.0.1:5608", "127.0.0.1:5608");
        check_listener("http://localhost:6000", "127.0.0.1:6000");
        check_listener("http://localhost", "127.0.0.1:80");
        check_listener("http://[::1]:6000", "[::1]:6000");
        check_listener("http://localhost.example.com:6000", "0.0.0.0:5555");
        check_listener("http://ca.example.com:6000", "0.0.0.0:5555");
        check_listener("https://localhost:6000", "0.0.0.0:5555");
    }
}
