//! `mayfly trust`: what verifiers and signers need, from the keys themselves.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::{self, Out};
use crate::installation::repository::{self, RepositoryError};
use crate::installation::shards::Shard;
use crate::installation::{Files, InstallationError};
use crate::pem;
use crate::timestamping::Key;
use crate::tlog::merkle::Hash;
use crate::trust::{self, LogTrust, Material};

mod snippets;

use snippets::Tool;

/// `mayfly trust …`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the trusted root of this instance
    #[command(after_help = "Example:\n  mayfly trust show --config mayfly.yaml")]
    Show {
        /// Which instance.
        #[command(flatten)]
        source: Source,
        /// Print `trusted_root.json` itself.
        #[arg(long)]
        json: bool,
    },
    /// Write the trust files into a folder
    #[command(
        after_help = "Writes:\n  trusted_root.json    for every Sigstore client that verifies\n  \
        signing_config.json  for those that sign\n  \
        trust_config.json    both in one, for sigstore-python\n  \
        root.json            the first root of the TUF repository, for cosign initialize and the like\n  \
        ca.pem               the authority's chain (SIGSTORE_ROOT_FILE)\n  \
        ct.pem               the key of the log's shard of today (SIGSTORE_CT_LOG_PUBLIC_KEY_FILE)\n  \
        rekor.pem            that of the signature log's (SIGSTORE_REKOR_PUBLIC_KEY)\n  \
        tsa.pem              the chain of the timestamps (SIGSTORE_TSA_CERTIFICATE_FILE)\n\n\
        Example:\n  mayfly trust export trust --config mayfly.yaml"
    )]
    Export {
        /// The folder; made if absent.
        directory: PathBuf,
        /// Which instance.
        #[command(flatten)]
        source: Source,
    },
    /// Print what to paste into a client's configuration
    #[command(
        after_help = "Examples:\n  mayfly trust snippets cosign gitsign --config mayfly.yaml\n  \
        mayfly trust snippets policy-controller --config mayfly.yaml > mayfly-trust.yaml"
    )]
    Snippets {
        /// For whom [default: all]
        #[arg(value_enum)]
        tools: Vec<Tool>,
        /// Which instance.
        #[command(flatten)]
        source: Source,
    },
}

/// Runs `mayfly trust …`.
///
/// # Errors
///
/// [`CommandError`] when the instance's keys cannot be read or the files not written.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Show { source, json } => {
            let instance = Instance::read(&source)?;
            let root = instance.material().trusted_root();
            let out = Out::stdout();
            match json {
                true => out.line(format_args!("{root:#}")),
                false => out.print(show(&root, &instance, &out)?),
            }
        }
        Command::Snippets { tools, source } => {
            Out::stdout().print(snippets::text(&tools, &Instance::read(&source)?)?)
        }
        Command::Export { directory, source } => {
            let instance = Instance::read(&source)?;
            if directory.is_file() {
                return Err(CommandError::Usage(format!(
                    "{} is a file; name a folder, which is made if it is absent",
                    directory.display()
                )));
            }
            std::fs::create_dir_all(&directory)
                .map_err(|error| CommandError::at(&directory, error))?;
            let material = instance.material();
            for (name, file) in material.files() {
                write(&directory, name, format!("{file:#}\n"))?;
            }
            match first_root(&instance) {
                Ok(root) => write(&directory, "root.json", root)?,
                // A copy to look into has none, and the other files are wanted all the same.
                Err(error @ InstallationError::Repository(RepositoryError::Missing { .. })) => {
                    out::aside(format_args!("mayfly: no root.json: {error}\n"));
                }
                Err(error) => return Err(CommandError::failed(error)),
            }
            write(&directory, "ca.pem", instance.certificates().concat())?;
            write(&directory, "ct.pem", trust::public_key_pem(&instance.trust().public_key))?;
            keys(&material).into_iter().try_for_each(|(name, pem)| write(&directory, name, pem))
        }
    }
}

/// The first root of the TUF repository, by which clients begin.
fn first_root(instance: &Instance) -> Result<Vec<u8>, InstallationError> {
    repository::first_root(&Files::of(&instance.config).repository)
}

/// What cosign reads from files of their own, of what there is.
fn keys(material: &Material) -> Vec<(&'static str, String)> {
    let is_open = |log: &&LogTrust| log.until.is_none();
    let log = material.signature_logs.iter().find(is_open);
    let log = log.map(|log| ("rekor.pem", trust::public_key_pem(&log.public_key)));
    let authority = material.timestamp_authorities.iter().find(|it| it.until.is_none());
    let chain = authority.map(|authority| {
        let certificates = authority.certificates.iter();
        ("tsa.pem", certificates.map(|der| pem::encode("CERTIFICATE", der)).collect())
    });
    log.into_iter().chain(chain).collect()
}

fn show(root: &Value, instance: &Instance, out: &Out) -> Result<String, CommandError> {
    let chain = instance.chain();
    let installed = &instance.installation;
    let url = root.pointer("/certificateAuthorities/0/uri").and_then(Value::as_str);
    let authority = vec![
        ("url", url.unwrap_or_default().to_owned()),
        ("valid", format!("{} to {}", chain.not_before(), chain.not_after())),
    ];
    let certificates = logs(root, "ctlogs", &installed.shards, instance);
    let signatures = logs(root, "tlogs", &installed.signatures, instance);
    let of = |name: &'static str| move |fields| (name, fields);
    let sections = std::iter::once(("certificate authority", authority))
        .chain(certificates.into_iter().map(of("certificate log")))
        .chain(signatures.into_iter().map(of("signature log")))
        .chain(
            installed.timestamps.iter().map(|key| timestamps(key, instance)).map(of("timestamps")),
        )
        .chain([("TUF repository", repository(instance)?)]);
    let text = sections
        .map(|(name, fields)| format!("{}\n{}", out.style.strong(name), out.fields(&fields)));
    Ok(text.collect())
}

/// What is said of a part of an instance: names and values.
type Fields = Vec<(&'static str, String)>;

/// What the trusted root says of `shards` under `name`, and by which key verifiers of notes know each.
fn logs(root: &Value, name: &str, shards: &[Shard], instance: &Instance) -> Vec<Fields> {
    let logs = root.get(name).and_then(Value::as_array).map(Vec::as_slice);
    let fields = |(log, shard): (&Value, &Shard)| {
        let part = |pointer: &str| {
            log.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let valid = match part("/publicKey/validFor/end") {
            end if end.is_empty() => format!("from {}", part("/publicKey/validFor/start")),
            end => format!("{} to {end}", part("/publicKey/validFor/start")),
        };
        let url = &instance.config.url;
        vec![
            ("url", part("/baseUrl")),
            ("id", part("/logId/keyId")),
            ("key", part("/publicKey/keyDetails")),
            ("valid", valid),
            ("origin", shard.ours(url).origin),
            ("vkey", shard.verifier_key(url).unwrap_or_default()),
        ]
    };
    logs.unwrap_or_default().iter().zip(shards).map(fields).collect()
}

fn timestamps(key: &Key, instance: &Instance) -> Fields {
    let (chain, root) = (&key.chain, key.chain.ders().last());
    vec![
        ("url", key.trust(&instance.config.url, None).url),
        ("valid", format!("{} to {}", chain.not_before(), chain.not_after())),
        ("root", format!("SHA-256 {}", Hash::of(&[root.map(Vec::as_slice).unwrap_or_default()]))),
    ]
}

fn repository(instance: &Instance) -> Result<Fields, CommandError> {
    let root = match first_root(instance) {
        Ok(root) => format!("SHA-256 {}", Hash::of(&[&root])),
        Err(InstallationError::Repository(RepositoryError::Missing { .. })) => "missing".to_owned(),
        Err(error) => return Err(CommandError::failed(error)),
    };
    Ok(vec![("url", format!("{}/tuf", instance.config.url)), ("first root", root)])
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<(), CommandError> {
    let path = directory.join(name);
    std::fs::write(&path, content).map_err(|error| CommandError::at(&path, error))?;
    match Out::stdout().line(path.display()) {
        // The other files are wanted all the same.
        Err(CommandError::Enough) => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::SignatureAlgorithm;
    use crate::time::Timestamp;
    use crate::trust::AuthorityTrust;

    #[test]
    fn what_works_now_has_its_key_in_a_file() {
        let log = |key: u8, until| LogTrust {
            url: String::new(),
            public_key: vec![key],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            id: [0; 32],
            since: Timestamp::default(),
            until,
        };
        let authority = AuthorityTrust {
            url: String::new(),
            certificates: vec![vec![1], vec![2]],
            since: Timestamp::default(),
            until: None,
        };
        let over = Some(Timestamp::from_secs(1));
        let material = Material {
            signature_logs: vec![log(1, over), log(2, None), log(3, None)],
            timestamp_authorities: vec![authority],
            ..Material::default()
        };
        let chain = pem::encode("CERTIFICATE", &[1]) + &pem::encode("CERTIFICATE", &[2]);
        let expected = [("rekor.pem", trust::public_key_pem(&[2])), ("tsa.pem", chain)];
        assert_eq!(keys(&material), expected);
        assert_eq!(keys(&Material::default()), []);
    }
}
