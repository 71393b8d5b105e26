//! Nothing is left out: the tables of bites against the enums and the reasons that `src/` has.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;

use mayfly::authority::{Failure, IssueError, Refusal};
use mayfly::identity::IdentityError;
use mayfly::possession::PossessionError;
use mayfly::token::TokenError;

use super::{Bite, Outcome, door, identity, ours, policy, possession, token};

/// The enums of which every variant must bite, and where they are.
const ENUMS: [(&str, &str); 13] = [
    ("src/authority.rs", "Refusal"),
    ("src/authority.rs", "Failure"),
    ("src/token/error.rs", "TokenError"),
    ("src/token/json.rs", "JsonError"),
    ("src/keyset.rs", "KeysetError"),
    ("src/identity.rs", "IdentityError"),
    ("src/identity/url.rs", "UrlError"),
    ("src/possession.rs", "PossessionError"),
    ("src/possession/strength.rs", "KeyError"),
    ("src/policy/error.rs", "PolicyError"),
    ("src/certificate/profile.rs", "ProfileError"),
    ("src/certificate/check.rs", "CheckError"),
    ("src/log.rs", "LogError"),
];

/// Where the reasons are.
const REASONS: [&str; 3] =
    ["src/authority/reason.rs", "src/http/problem.rs", "src/http/problem/table.rs"];

/// What no request can meet, and why not.
const UNREACHABLE: [(&str, &str); 22] = [
    ("ISSUER_MISMATCH", "the reason of TokenError::IssuerMismatch"),
    ("TokenError::IssuerMismatch", "issuers are found by the `iss` of the token itself"),
    ("KeysetError::Token", "wraps a TokenError, and each of those bites"),
    ("CheckError::Unreadable", "the encoder at fault; certificate/check.rs bends its output"),
    ("CheckError::Field", "the encoder at fault; certificate/check.rs bends its output"),
    ("CheckError::Unexpected", "the encoder at fault; certificate/check.rs bends its output"),
    ("CheckError::NoScts", "the authority always has one; certificate/check.rs leaves it out"),
    ("LogError::Foreign", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Rows", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Root", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Entry", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Issuer", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Damaged", "found by the scrub; tests/it/log.rs bends the store"),
    ("LOG_DAMAGED", "the reason of LogError::Damaged"),
    ("LogError::Tile", "found when the log is opened; tests/it/log.rs bends the store"),
    ("LogError::Miscomputed", "memory at fault; log/sequencer.rs flips the bits"),
    ("LogError::Mark", "found when the log is opened; tests/it/log.rs puts old copies back"),
    ("LogError::Witness", "found when the log is opened; tests/it/witness.rs puts old copies back"),
    ("LogError::Index", "found by a search; tests/it/records.rs damages the index"),
    ("LogError::Record", "a record is always JSON; what is read back is not an exchange's"),
    ("LogError::Thread", "found when the log is opened"),
    ("REQUEST_TIMEOUT", "thirty seconds of silence; http/room.rs waits for less"),
];

#[test]
fn every_reason_to_refuse_bites() {
    let bites = [token::bites(), identity::bites(), possession::bites(), policy::bites()];
    let bites = bites.into_iter().flatten().map(|Bite { outcome, .. }| outcome);
    let mut met: BTreeSet<String> = door::reasons().map(str::to_owned).collect();
    for Outcome { error, reason, .. } in bites.chain(ours::outcomes()) {
        met.insert(reason.to_owned());
        met.extend(names(&error));
    }
    let mut all: BTreeSet<String> = REASONS.into_iter().flat_map(reasons).collect();
    all.extend(ENUMS.into_iter().flat_map(|(path, name)| variants(path, name)));
    assert!(all.len() > 120, "only {} were found in src/", all.len());

    let excused: BTreeSet<String> =
        UNREACHABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let expected: BTreeSet<String> = all.difference(&excused).cloned().collect();
    let left_out: Vec<_> = expected.difference(&met).collect();
    assert!(left_out.is_empty(), "no bite meets {left_out:#?}");
    let unknown: Vec<_> = met.difference(&expected).collect();
    assert!(unknown.is_empty(), "bites meet what is not in src/, or is excused: {unknown:#?}");
    let gone: Vec<_> = excused.difference(&all).collect();
    assert!(gone.is_empty(), "excused, and not in src/: {gone:#?}");
}

/// An error's variants, outermost first: `Refusal::Token`, `TokenError::NotJson`, `JsonError::TooDeep`.
fn names(error: &IssueError) -> Vec<String> {
    match error {
        IssueError::Refused(refusal) => {
            let mut names = vec![name("Refusal", refusal)];
            match refusal {
                Refusal::IssuerUnknown { .. } => {
                    names.push("KeysetError::UnknownIssuer".to_owned())
                }
                Refusal::Token(error) => {
                    names.push(name("TokenError", error));
                    if let TokenError::NotJson { fault, .. } = error {
                        names.push(name("JsonError", fault));
                    }
                }
                Refusal::Identity(error) => {
                    names.push(name("IdentityError", error));
                    if let IdentityError::Url { error, .. } = error {
                        names.push(name("UrlError", error));
                    }
                }
                Refusal::Possession(error) => {
                    names.push(name("PossessionError", error));
                    if let PossessionError::KeyUnacceptable(error) = error {
                        names.push(name("KeyError", error));
                    }
                }
                Refusal::Policy(error) => names.push(name("PolicyError", error)),
            }
            names
        }
        IssueError::Failed(failure) => {
            let within = match failure {
                Failure::IssuerUnreachable { .. } => Some("KeysetError::Unreachable".to_owned()),
                Failure::Profile(error) => Some(name("ProfileError", error)),
                Failure::Check(error) => Some(name("CheckError", error)),
                Failure::Signer(_) => None,
                Failure::Log(error) => Some(name("LogError", error)),
            };
            [name("Failure", failure)].into_iter().chain(within).collect()
        }
    }
}

/// The variant of a value, by what `derive(Debug)` says first.
fn name(kind: &str, value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    format!("{kind}::{}", &text[..end])
}

/// The variants of an enum, as its source has them.
fn variants(path: &str, name: &str) -> Vec<String> {
    let source = read(path);
    let (_, rest) = source
        .split_once(&format!("pub enum {name} {{\n"))
        .unwrap_or_else(|| panic!("{path} has no enum {name}"));
    let (body, _) = rest.split_once("\n}").expect("an end");
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let variant = |line: &str| {
        let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
        format!("{name}::{}", &line[..end])
    };
    lines.map(variant).collect()
}

/// The reasons of a file: what stands there in quotes and capitals.
fn reasons(path: &str) -> Vec<String> {
    let source = read(path);
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_reason = |text: &&str| {
        text.len() > 3 && text.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'_')
    };
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted.filter(is_reason).map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
