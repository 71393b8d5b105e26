//! HTTP as text: requests, and what must hold of the answers.
//!
//! ```text
//! # A comment.
//! POST /api/v2/signingCert                  a request …
//! Content-Type: application/json            … its headers …
//! | {"credentials":{}}                      … its body, line by line (`|*1000 x`: x a thousand times)
//! code == 400                               … and what must hold
//! header content-type == application/json
//! header location absent
//! body contains TOKEN                       also: `body ==`, `body lacks`
//! json details.0.reason == "TOKEN_INVALID"  also: `json … contains`, `lacks`, `absent`
//! ```
//!
//! `Host`, `Content-Length` and `Connection: close` are added. `${name}` stands for what the test
//! defines, and `\n`, in what must hold, for the end of a line.

use std::fmt::Write;

use serde_json::Value;

use super::wire::{Answer, Running};

/// A request with what must hold of its answer.
#[derive(Default)]
struct Exchange {
    line: usize,
    request: String,
    headers: String,
    body: Vec<String>,
    claims: Vec<(usize, String)>,
}

/// Runs the exchanges of a script one after another, each on a connection of its own.
pub async fn run(name: &str, defined: &[(&str, String)], server: &Running) {
    let path = format!("{}/tests/http/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut wrong = String::new();
    let exchanges = parse(name, &text);
    assert!(!exchanges.is_empty(), "{name} asks for nothing");
    for exchange in exchanges {
        assert!(!exchange.claims.is_empty(), "{name}:{}: nothing must hold", exchange.line);
        let answer = server.ask(&exchange.octets(defined)).await;
        for (line, claim) in &exchange.claims {
            if let Err(why) = check(&substituted(claim, defined), &answer) {
                let _ = writeln!(wrong, "{name}:{line}: {claim}: {why}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn parse(name: &str, text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let first = line.split(' ').next().unwrap_or_default();
        if line.is_empty() || first == "#" {
            continue;
        }
        if !first.is_empty() && first.chars().all(|c| c.is_ascii_uppercase()) {
            let request = line.to_owned();
            exchanges.push(Exchange { line: number, request, ..Exchange::default() });
            continue;
        }
        let exchange = exchanges
            .last_mut()
            .unwrap_or_else(|| panic!("{name}:{number}: what must hold, and of what?"));
        match first {
            "|" => exchange.body.push(line[2..].to_owned()),
            _ if first.starts_with("|*") => {
                let times = first[2..].parse().unwrap();
                exchange.body.push(line[first.len() + 1..].repeat(times));
            }
            "code" | "header" | "body" | "json" => {
                exchange.claims.push((number, line.to_owned()));
            }
            _ if first.ends_with(':') => {
                exchange.headers.push_str(line);
                exchange.headers.push_str("\r\n");
            }
            _ => panic!("{name}:{number}: {line:?} is not a line of a script"),
        }
    }
    exchanges
}

fn substituted(text: &str, defined: &[(&str, String)]) -> String {
    defined
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

impl Exchange {
    fn octets(&self, defined: &[(&str, String)]) -> Vec<u8> {
        let body = substituted(&self.body.join("\n"), defined);
        let request = substituted(&self.request, defined);
        let mut head = format!("{request} HTTP/1.1\r\nhost: test\r\n");
        if !self.body.is_empty() || self.request.starts_with("POST ") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.push_str(&substituted(&self.headers, defined));
        format!("{head}connection: close\r\n\r\n{body}").into_bytes()
    }
}

fn check(claim: &str, answer: &Answer) -> Result<(), String> {
    let mut words = claim.splitn(2, ' ');
    let (subject, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match subject {
        "code" => compare(rest, Some(&answer.status.to_string())),
        "body" => compare(rest, Some(&answer.text())),
        "header" => {
            let (name, rest) = rest.split_once(' ').ok_or("which header?")?;
            compare(rest, answer.header(name))
        }
        "json" => {
            let (path, rest) = rest.split_once(' ').ok_or("which member?")?;
            let json: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
            let pointer = format!("/{}", path.replace('.', "/"));
            let member = json.pointer(&pointer);
            match (rest.strip_prefix("== "), member) {
                (Some(expected), Some(member)) => {
                    let expected: Value =
                        serde_json::from_str(expected).map_err(|e| e.to_string())?;
                    (*member == expected).then_some(()).ok_or_else(|| member.to_string())
                }
                _ => compare(
                    rest,
                    member.map(|m| m.as_str().map_or(m.to_string(), str::to_owned)).as_deref(),
                ),
            }
        }
        _ => Err("no such claim".to_owned()),
    }
}

fn compare(claim: &str, actual: Option<&str>) -> Result<(), String> {
    let (verb, expected) = claim.split_once(' ').unwrap_or((claim, ""));
    let expected = expected.replace("\\n", "\n");
    let holds = match (verb, actual) {
        ("absent", actual) => actual.is_none(),
        (_, None) => false,
        ("==", Some(actual)) => actual == expected,
        ("contains", Some(actual)) => actual.contains(&expected),
        ("lacks", Some(actual)) => !actual.contains(&expected),
        _ => return Err("no such claim".to_owned()),
    };
    let cut = |text: &str| text.chars().take(300).collect::<String>();
    holds.then_some(()).ok_or_else(|| actual.map_or("there is none".to_owned(), cut))
}
