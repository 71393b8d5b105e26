//! Trust policies: which witnesses there are, and how many of them must have cosigned a checkpoint.
//!
//! ```text
//! # one a line; comments and empty lines are passed over
//! log ca.example.com/ct/2026+9b0d4a5e+AWkF…
//! witness A witness.example/w1+aa4a09d1+BOpK… https://witness.example
//! witness B remora.example+a495ce14+BP0X… https://remora.example/submit
//! group either any A B
//! quorum either
//! ```
//!
//! The names on the left are for groups and the quorum alone. What a policy says of logs is checked and not
//! kept: a log knows itself, and one policy may be for many.
//!
//! Spec: C2SP tlog-policy.

use std::collections::{HashMap, HashSet};

use super::cosignature::Cosigner;
use super::note::{VerifierKey, VerifierKeyError};
use crate::quote::quote;

/// The most logs, witnesses and groups of a policy, each: the least that the specification wants.
const MOST: usize = 32;

/// Witnesses, and their quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    witnesses: Vec<Witness>,
    /// In the order of the file: each is made of those before it.
    rules: Vec<Rule>,
    /// Which rule; none: `quorum none`.
    quorum: Option<usize>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it.
    pub name: String,
    /// Its key.
    pub cosigner: Cosigner,
    /// Where it is asked; none: it is not.
    pub url: Option<String>,
}

/// What may have cosigned a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// The witness at this place.
    Witness(usize),
    /// So many of these rules, at least.
    Group { least: usize, members: Vec<usize> },
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], with the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut reader = Reader::default();
        for (line, text) in (1..).zip(text.split('\n')) {
            reader.line(text).map_err(|fault| PolicyError::Line { line, fault })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self { witnesses: reader.witnesses, rules: reader.rules, quorum })
    }

    /// The witnesses, in the order of the file.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether those witnesses are enough of which `cosigned` holds, asked by their place.
    pub fn is_met(&self, cosigned: impl Fn(usize) -> bool) -> bool {
        let mut met: Vec<bool> = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            met.push(match rule {
                Rule::Witness(witness) => cosigned(*witness),
                Rule::Group { least, members } => {
                    members.iter().filter(|member| met.get(**member) == Some(&true)).count()
                        >= *least
                }
            });
        }
        self.quorum.is_none_or(|rule| met.get(rule) == Some(&true))
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    witnesses: Vec<Witness>,
    rules: Vec<Rule>,
    quorum: Option<Option<usize>>,
    /// The rules by their names.
    names: HashMap<String, usize>,
    /// Those that are in a group.
    grouped: HashSet<usize>,
    /// Of logs and of witnesses.
    keys: [HashSet<Vec<u8>>; 2],
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Fault> {
        if line.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(Fault::Character);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [comment, ..] if comment.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, least, members @ ..] => self.group(name, least, members),
            ["quorum", name] => self.set_quorum(name),
            ["log" | "witness" | "group" | "quorum", ..] => Err(Fault::Words),
            _ => Err(Fault::Keyword),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), Fault> {
        let VerifierKey { key, .. } = key.parse()?;
        self.take(0, key)
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), Fault> {
        let cosigner = Cosigner::try_from(key.parse::<VerifierKey>()?)?;
        self.take(1, cosigner.key().to_vec())?;
        self.define(name, Rule::Witness(self.witnesses.len()))?;
        let (name, url) = (name.to_owned(), url.map(str::to_owned));
        self.witnesses.push(Witness { name, cosigner, url });
        Ok(())
    }

    /// Takes a key of a log (0) or of a witness (1), if there is room for it and it is a new one.
    fn take(&mut self, of: usize, key: Vec<u8>) -> Result<(), Fault> {
        let keys = self.keys.get_mut(of).filter(|keys| keys.len() < MOST).ok_or(Fault::TooMany)?;
        if keys.insert(key) { Ok(()) } else { Err(Fault::Key) }
    }

    fn group(&mut self, name: &str, least: &str, members: &[&str]) -> Result<(), Fault> {
        if self.rules.len() - self.witnesses.len() == MOST {
            return Err(Fault::TooMany);
        }
        let members: Vec<usize> =
            members.iter().map(|member| self.member(member)).collect::<Result<_, _>>()?;
        let decimal = |text: &str| text.parse().ok().filter(|k: &usize| k.to_string() == text);
        let least = match least {
            "all" => Some(members.len()),
            "any" => Some(1),
            number => decimal(number),
        };
        let least = least.filter(|least| (1..=members.len()).contains(least));
        let least = least.ok_or(Fault::Least { members: members.len() })?;
        self.define(name, Rule::Group { least, members })
    }

    /// The rule of that name, which is in no group yet.
    fn member(&mut self, name: &str) -> Result<usize, Fault> {
        let rule = self.rule(name)?;
        // Otherwise one witness could count twice.
        if self.grouped.insert(rule) { Ok(rule) } else { Err(Fault::Grouped(name.to_owned())) }
    }

    fn rule(&self, name: &str) -> Result<usize, Fault> {
        self.names.get(name).copied().ok_or_else(|| Fault::Unknown(name.to_owned()))
    }

    fn define(&mut self, name: &str, rule: Rule) -> Result<(), Fault> {
        if name == "none" || self.names.contains_key(name) {
            return Err(Fault::Taken(name.to_owned()));
        }
        self.names.insert(name.to_owned(), self.rules.len());
        self.rules.push(rule);
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), Fault> {
        if self.quorum.is_some() {
            return Err(Fault::SecondQuorum);
        }
        self.quorum = Some(match name {
            "none" => None,
            name => Some(self.rule(name)?),
        });
        Ok(())
    }
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// One of its lines.
    #[error("line {line}: {fault}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It does not say how many witnesses it takes.
    #[error("a policy must have a line `quorum <name>`, or `quorum none`")]
    NoQuorum,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A control character.
    #[error("there must be no control characters but tabs; lines end with a newline alone")]
    Character,
    /// It begins with another word.
    // Which one is not said: the file may be another one, of secrets.
    #[error("expected a line that begins with log, witness, group or quorum")]
    Keyword,
    /// Too few or too many words.
    #[error(
        "expected `log <key> [<url>]`, `witness <name> <key> [<url>]`, `group <name> all|any|<number> <member>…` or `quorum <name>`"
    )]
    Words,
    /// The key cannot be read, or is none of a witness.
    #[error(transparent)]
    VerifierKey(#[from] VerifierKeyError),
    /// Two logs or two witnesses with one key.
    #[error("a line above has the same key; take one of the two out")]
    Key,
    /// The name means something else.
    #[error("{} is the name of something else; choose another name", quote(.0))]
    Taken(String),
    /// Nothing above has that name.
    #[error("no line above defines {}; put its line before this one", quote(.0))]
    Unknown(String),
    /// It would count twice.
    #[error("{} is a member of a group already, and may be of one only", quote(.0))]
    Grouped(String),
    /// More members than there are, or none.
    #[error("expected all, any or a number from 1 to that of the members, which is {members}")]
    Least {
        /// How many there are.
        members: usize,
    },
    /// Two of them.
    #[error("a line above is a quorum already; there must be one")]
    SecondQuorum,
    /// A bound.
    #[error("a policy may have {MOST} logs, {MOST} witnesses and {MOST} groups")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::cosignature::TYPE_COSIGNATURE;
    use proptest::prelude::*;

    /// The vkey of the witness of this number.
    fn key(number: u8) -> String {
        let (name, key) = (format!("w{number}.example"), vec![number; 32]);
        VerifierKey { name, kind: TYPE_COSIGNATURE, key }.to_string()
    }

    fn log(number: u8) -> String {
        VerifierKey::ed25519("log.example", &[number; 32]).to_string()
    }

    /// The specification's example.
    fn example() -> String {
        let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(key);
        format!(
            "# A comment\n\nlog {}\n\nwitness X1 {a} https://x1.example\nwitness X2 {b}\n\
             \twitness  X3\t{c}  \ngroup X 2 X1 X2 X3\n  # another\nwitness Y1 {d}\n\
             witness Y2 {e}\nwitness Y3 {f}\ngroup Y any Y1 Y2 Y3\ngroup X-and-Y all X Y\n\
             quorum X-and-Y\n",
            log(1)
        )
    }

    #[test]
    fn the_quorum_is_met_by_enough_of_each_group() {
        let policy = Policy::parse(&example()).unwrap();
        let names: Vec<_> = policy.witnesses().iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["X1", "X2", "X3", "Y1", "Y2", "Y3"]);
        assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://x1.example"));
        assert_eq!(policy.witnesses()[2].url, None);
        for cosigned in 0_u8..64 {
            let (x, y) = ((cosigned & 7).count_ones(), (cosigned >> 3).count_ones());
            let met = policy.is_met(|witness| cosigned >> witness & 1 == 1);
            assert_eq!(met, x >= 2 && y >= 1, "{cosigned:06b}");
        }
    }

    #[test]
    fn a_quorum_may_be_one_witness_or_none() {
        let one = Policy::parse(&format!("witness A {}\nquorum A", key(1))).unwrap();
        assert!(one.is_met(|_| true) && !one.is_met(|_| false));
        let none = Policy::parse(&format!("witness A {}\nquorum none", key(1))).unwrap();
        assert!(none.is_met(|_| false));
    }

    #[test]
    fn a_policy_bites() {
        #[track_caller]
        fn bite(from: &str, to: &str, (line, fault): (usize, Fault)) {
            let text = example().replacen(from, to, 1);
            let refused = Policy::parse(&text);
            assert_eq!(refused, Err(PolicyError::Line { line, fault }), "{text}");
        }
        let name = |name: &str| name.to_owned();
        bite("quorum X-and-Y", "quorum Z", (15, Fault::Unknown(name("Z"))));
        bite("quorum X-and-Y", "quorum X Y", (15, Fault::Words));
        bite("quorum X-and-Y", "quorum none\nquorum none", (16, Fault::SecondQuorum));
        bite("quorum", "Quorum", (15, Fault::Keyword));
        bite("group X 2", "group X 0", (8, Fault::Least { members: 3 }));
        bite("group X 2", "group X 4", (8, Fault::Least { members: 3 }));
        bite("group X 2", "group X 02", (8, Fault::Least { members: 3 }));
        bite("group X 2", "group X most", (8, Fault::Least { members: 3 }));
        bite("any Y1 Y2 Y3", "any", (13, Fault::Least { members: 0 }));
        bite("all X Y", "all X Y1", (14, Fault::Grouped(name("Y1"))));
        bite("all X Y", "all X X", (14, Fault::Grouped(name("X"))));
        bite("all X Y", "all X none", (14, Fault::Unknown(name("none"))));
        bite("group X 2", "group X2 2", (8, Fault::Taken(name("X2"))));
        bite("witness X1", "witness none", (5, Fault::Taken(name("none"))));
        bite("witness X2", "witness X1", (6, Fault::Taken(name("X1"))));
        bite("witness X1", "witness", (5, Fault::VerifierKey(VerifierKeyError::Form)));
        bite(&key(1), &log(1), (5, Fault::VerifierKey(VerifierKeyError::NoCosigner)));
        bite(&key(2), &key(1), (6, Fault::Key));
        // Another name for the same key.
        let again = VerifierKey { name: "w".into(), kind: TYPE_COSIGNATURE, key: vec![1; 32] };
        bite(&key(2), &again.to_string(), (6, Fault::Key));
        bite("log ", &format!("log {}\nlog ", log(1)), (4, Fault::Key));
        bite("log ", "log x ", (3, Fault::VerifierKey(VerifierKeyError::Form)));
        bite("# A", "# \u{7}", (1, Fault::Character));
        bite("quorum X-and-Y\n", "quorum X-and-Y\r\n", (15, Fault::Character));
        let end = example().replace("quorum X-and-Y\n", "");
        assert_eq!(Policy::parse(&end), Err(PolicyError::NoQuorum));
    }

    #[test]
    fn a_policy_has_bounds() {
        let logs: String = (0..32).map(|it| format!("log {}\n", log(it))).collect();
        let witnesses = |count| -> String {
            (0..count).map(|it| format!("witness {it} {}\n", key(it))).collect()
        };
        let group = |group: u8| format!("group g{group} all {group}\n");
        let groups: String = (0..31).map(group).collect();
        let text = format!("{logs}{}{groups}", witnesses(32));
        assert!(Policy::parse(&format!("{text}group last any 31\nquorum last")).is_ok());
        for more in [
            format!("log {}", log(32)),
            format!("witness more {}", key(32)),
            "group last any 31\ngroup more any last".to_owned(),
        ] {
            let refused = Policy::parse(&format!("{text}{more}\nquorum none"));
            let fault = Fault::TooMany;
            assert!(
                matches!(refused, Err(PolicyError::Line { fault: found, .. }) if found == fault)
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text: String) {
            let _ = Policy::parse(&text);
        }

        #[test]
        fn no_order_of_lines_is_too_much(places: Vec<proptest::sample::Index>) {
            let example = example();
            let lines: Vec<&str> = example.lines().collect();
            let text: String = places.iter().flat_map(|it| [*it.get(&lines), "\n"]).collect();
            if let Ok(policy) = Policy::parse(&text) {
                policy.is_met(|_| true);
            }
        }
    }
}
