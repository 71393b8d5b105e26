//! What differs between two configurations, in words for the log of a running instance.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use crate::config::Config;
use crate::issuer::{Issuer, IssuerId};
use crate::policy::Allow;

/// How many issuers a line names.
const NAMED: usize = 10;

/// What differs. Issuers are named by their URLs, in the order of the newer file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Trusted now, and not before.
    pub added: Vec<String>,
    /// Trusted before, and not now.
    pub removed: Vec<String>,
    /// Trusted in another way: type, audiences, keys, CA.
    pub changed: Vec<String>,
    /// With other rules.
    pub rules: Vec<String>,
    /// Among those, the ones whose `allow` or `deny` is gone altogether.
    pub opened: Vec<String>,
    /// Whether issuers are asked through another proxy.
    pub proxy: bool,
    /// The keys at the top of the file whose change counts from the next start on.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// What is different in `new`.
    pub fn between(old: &Config, new: &Config) -> Self {
        let (before, after) = (prints(old), prints(new));
        let mut changes = Self { proxy: old.proxy != new.proxy, ..Self::default() };
        for issuer in new.issuers.iter() {
            let url = issuer.url.as_str();
            let Some((was, is)) = before.get(url).zip(after.get(url)) else {
                changes.added.push(url.to_owned());
                continue;
            };
            let opens = (was.restricts && !is.restricts) || (was.denies && !is.denies);
            for (differs, urls) in [
                (was.issuer != is.issuer, &mut changes.changed),
                (was.rules != is.rules, &mut changes.rules),
                (opens, &mut changes.opened),
            ] {
                if differs {
                    urls.push(url.to_owned());
                }
            }
        }
        let gone = old.issuers.iter().filter(|issuer| !after.contains_key(issuer.url.as_str()));
        changes.removed = gone.map(|issuer| issuer.url.clone()).collect();
        let fixed = fixed(old).into_iter().zip(fixed(new));
        let moved = fixed.filter(|(old, new)| old != new);
        changes.restart = moved.map(|((name, _), _)| name).collect();
        changes
    }

    /// Whether nothing differs that a running instance takes up.
    pub fn is_empty(&self) -> bool {
        let Self { added, removed, changed, rules, opened: _, proxy, restart: _ } = self;
        !proxy && [added, removed, changed, rules].iter().all(|urls| urls.is_empty())
    }

    /// What somebody should look at: half of a file that was being written reads like this too.
    pub fn warning(&self) -> Option<String> {
        let issuers = part("", &self.opened, "lost `allow` or `deny`")?;
        Some(format!("{issuers}: more tokens are granted from here on; is the file whole?"))
    }
}

/// `1 issuer added (https://a.example), rules of 2 issuers changed (…)`; `nothing changed`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("", &self.added, "added"),
            ("", &self.removed, "removed"),
            ("", &self.changed, "changed"),
            ("rules of ", &self.rules, "changed"),
        ];
        let mut parts: Vec<String> =
            rows.into_iter().filter_map(|(of, urls, verb)| part(of, urls, verb)).collect();
        if self.proxy {
            parts.push("the proxy changed".to_owned());
        }
        if !self.restart.is_empty() {
            let keys: Vec<String> = self.restart.iter().map(|key| format!("`{key}`")).collect();
            parts.push(format!("changed for the next start: {}", keys.join(", ")));
        }
        match parts.is_empty() {
            true => f.write_str("nothing changed"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

fn part(of: &str, urls: &[String], verb: &str) -> Option<String> {
    let noun = match urls.len() {
        0 => return None,
        1 => "issuer",
        _ => "issuers",
    };
    let more = urls.len().checked_sub(NAMED).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    let named: Vec<&str> = urls.iter().take(NAMED).map(String::as_str).collect();
    Some(format!("{of}{} {noun} {verb} ({}{more})", urls.len(), named.join(", ")))
}

/// What there is to compare of one issuer.
struct Print {
    issuer: u64,
    rules: u64,
    /// Not anybody may.
    restricts: bool,
    /// Some may not.
    denies: bool,
}

fn prints(config: &Config) -> HashMap<&str, Print> {
    let rules_of = |issuer: &Issuer| config.policy.rules(issuer.id);
    let print = |issuer: &Issuer| Print {
        // Where it stands in the file is no property of an issuer.
        issuer: hash(&Issuer { id: IssuerId(0), ..issuer.clone() }),
        rules: hash(&rules_of(issuer)),
        restricts: rules_of(issuer).is_none_or(|rules| matches!(rules.allow, Allow::Rules(_))),
        denies: rules_of(issuer).is_some_and(|rules| !rules.deny.is_empty()),
    };
    config.issuers.iter().map(|issuer| (issuer.url.as_str(), print(issuer))).collect()
}

/// A hash of everything that `Debug` shows, hence of whatever a type comes to hold.
fn hash(value: &impl fmt::Debug) -> u64 {
    struct Sink(DefaultHasher);
    impl fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    // The sink takes everything; what remains is the hash of what was shown.
    let _ = fmt::Write::write_fmt(&mut sink, format_args!("{value:?}"));
    sink.0.finish()
}

/// What a running instance does not take up, by key. A new field of [`Config`] stops the build here
/// until it has a place.
fn fixed(config: &Config) -> Vec<(&'static str, String)> {
    let Config {
        url,
        listen,
        data,
        tls,
        authority,
        lifetime,
        backdate,
        denials,
        log,
        signatures,
        timestamps,
        issuers: _,
        policy: _,
        proxy: _,
        files: _,
        warnings: _,
        summaries: _,
    } = config;
    vec![
        ("url", url.clone()),
        ("listen", listen.to_string()),
        ("data", data.display().to_string()),
        ("tls", format!("{tls:?}")),
        ("authority", format!("{authority:?}")),
        ("lifetime", format!("{lifetime:?}")),
        ("backdate", format!("{backdate:?}")),
        ("denials", format!("{denials:?}")),
        ("log", format!("{:?}", (&log.readers, &log.records, &log.mark, &log.witnesses))),
        ("keep_refusals", format!("{:?}", log.keep_refusals)),
        ("signatures", format!("{signatures:?}")),
        ("timestamps", format!("{timestamps:?}")),
    ]
}
