//! `mayfly explain`: what would become of a token, step by step, with nothing issued.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use self::input::{At, Input};
use super::instance::Source;
use super::out::Out;
use super::style::Style;
use super::{CommandError, block_on};
use crate::authority::IssueError;
use crate::authority::explanation::{Check, Explanation, Finding, Signature, UsedClaim, explain};
use crate::config::Config;
use crate::http;
use crate::identity::{Identity, San};
use crate::keyset::Keyset;
use crate::policy::{List, Review, Seen};
use crate::quote::{escape, quote, visible};
use crate::time::Timestamp;

mod input;

/// How many uses of one claim a line names.
const MOST_USES: usize = 6;

/// How wide the names of extensions are set: the longest has 39 characters.
const WIDTH: usize = 39;

/// How wide the names of claims are set; few are longer.
const CLAIM_WIDTH: usize = 22;

/// Say what would become of a token, and why; nothing is issued or logged
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 it would get a certificate, 1 it would not, 2 wrong usage or configuration.\n\n\
    Examples:\n  mayfly explain token.jwt --config mayfly.yaml\n  \
    printenv CI_TOKEN | mayfly explain - --offline --json\n  \
    mayfly explain claims.json --offline --at issued"
)]
pub struct Args {
    /// The file with the token, or with its claims as JSON (--offline); `-` reads standard input
    #[arg(value_name = "TOKEN-FILE")]
    token: PathBuf,
    /// Skip the signature: the token's issuer is not asked for its keys
    #[arg(long)]
    offline: bool,
    /// Suppose that it is this time: 2026-01-01T00:00:18Z, or `issued` for when the token was
    #[arg(long, value_name = "TIME")]
    at: Option<At>,
    #[command(flatten)]
    source: Source,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly explain`.
///
/// # Errors
///
/// [`CommandError::Refused`] when there would be no certificate, [`CommandError::Usage`] when the token
/// cannot be read, [`CommandError::Configuration`].
pub fn run(args: Args) -> Result<(), CommandError> {
    let config = args.source.config()?;
    let input = Input::read(&args.token, &config.issuers)?;
    if input.is_claims && !args.offline {
        let file = args.token.display();
        return Err(CommandError::Usage(format!(
            "{file}: these are claims, with no signature to check: add --offline"
        )));
    }
    let now = At::of(args.at, &input.token)?;
    let signature = if args.offline { Signature::Skipped } else { Signature::Checked };
    let mut explanation = block_on(explanation(&config, (&input.token, signature), now))??;
    if input.is_claims {
        tell_claims(&mut explanation);
    }
    let out = Out::stdout();
    let printed = if args.json {
        out.json(format_args!("{:#}", to_json(&explanation)))
    } else {
        let when = args.at.map(|_| format!("as if it were {now}:\n")).unwrap_or_default();
        out.print(when + &to_text(&explanation, out.style))
    };
    // Who reads no further still has the answer as exit code.
    explanation.outcome.map_err(|_| CommandError::Refused)?;
    printed
}

/// Asks for the issuers' keys and the rules: neither the log nor a key of ours is opened.
async fn explanation(
    config: &Config,
    (token, signature): (&str, Signature),
    now: Timestamp,
) -> Result<Explanation, CommandError> {
    let keyset = Keyset::through(&config.proxy, config.issuers.clone());
    let keyset = keyset.map_err(CommandError::failed)?;
    Ok(explain((&keyset, &config.policy), token, signature, now).await)
}

/// Says of claims that hold together what they are, in place of the token that was made of them.
fn tell_claims(explanation: &mut Explanation) {
    let made = explanation.checks.first_mut().filter(|check| check.finding == Finding::Holds);
    if let Some(check) = made {
        check.detail = "claims alone, as if in a token of this issuer".to_owned();
    }
}

/// For people: the answer, then the way to it.
fn to_text(explanation: &Explanation, style: Style) -> String {
    let mut text = format!("{}\n", headline(explanation, style));
    section(&mut text, style, "checks");
    for check in &explanation.checks {
        text += &check_line(check, style);
    }
    if let Some(identity) = &explanation.identity {
        section(&mut text, style, "the certificate would say");
        for (name, value) in values(identity) {
            let name = style.quiet(&format!("{name:<WIDTH$}"));
            let _ = writeln!(text, "  {name} {}", visible(value));
        }
    }
    if !explanation.claims.is_empty() {
        section(&mut text, style, "claims");
        explanation.claims.iter().for_each(|claim| text += &claim_line(claim, style));
    }
    if !explanation.rules.is_empty() {
        section(&mut text, style, "rules");
        let decides = explanation.rules.iter().position(|rule| rule.matches);
        for (position, rule) in explanation.rules.iter().enumerate() {
            text += &rule_lines(rule, decides == Some(position), style);
        }
    }
    text
}

fn section(text: &mut String, style: Style, name: &str) {
    let _ = writeln!(text, "\n{}", style.strong(name));
}

fn headline(explanation: &Explanation, style: Style) -> String {
    let open = explanation.checks.iter().any(|check| check.finding == Finding::Open);
    match &explanation.outcome {
        Ok(_) if open => style.good("✓ a certificate would be issued, if the signature holds"),
        Ok(_) => style.good("✓ a certificate would be issued"),
        Err(error) => {
            let what = match error {
                IssueError::Refused(_) => "✗ refused:",
                IssueError::Failed(_) => "✗ nobody can tell now:",
            };
            let reason = style.quiet(&format!("({})", http::reason(error)));
            format!("{} {} {reason}", style.bad(what), visible(&error.to_string()))
        }
    }
}

fn mark(finding: Finding, style: Style) -> String {
    match finding {
        Finding::Holds => style.good("✓"),
        Finding::Fails => style.bad("✗"),
        Finding::Open => style.quiet("–"),
    }
}

fn check_line(check: &Check, style: Style) -> String {
    let name = style.quiet(&format!("{:<10}", check.name));
    format!("  {} {name} {}\n", mark(check.finding, style), visible(&check.detail))
}

/// What the certificate would say, by name.
fn values(identity: &Identity) -> impl Iterator<Item = (&'static str, &str)> {
    let extensions = identity.extensions().iter();
    let san = (san_kind(identity.san()), identity.san().as_str());
    std::iter::once(san).chain(extensions.map(|(extension, value)| (extension.name(), value)))
}

fn san_kind(san: &San) -> &'static str {
    match san {
        San::Email(_) => "subject alternative name (e-mail)",
        San::Uri(_) => "subject alternative name (URI)",
        San::Username(_) => "subject alternative name (username)",
    }
}

fn claim_line(claim: &UsedClaim, style: Style) -> String {
    let value = match (&claim.value, &claim.default) {
        (Some(Value::String(text)), _) => quote(text).to_string(),
        (Some(value), _) => escape(&value.to_string()).to_string(),
        (None, Some(default)) if !default.is_empty() => {
            format!("absent; {} stands for it", quote(default))
        }
        (None, _) => "absent".to_owned(),
    };
    let shown: Vec<String> =
        claim.uses.iter().take(MOST_USES).map(|each| escape(each).to_string()).collect();
    let more = match claim.uses.len().saturating_sub(MOST_USES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let uses = style.quiet(&format!("→ {}{more}", shown.join(", ")));
    let name = style.quiet(&format!("{:<CLAIM_WIDTH$}", escape(&claim.claim).to_string()));
    format!("  {name} {value} {uses}\n")
}

/// A rule with its conditions: all of the one that decides, those that fail of the others.
fn rule_lines(rule: &Review, decides: bool, style: Style) -> String {
    let (mark, what) = match (rule.list, decides, rule.matches) {
        (List::Allow, true, _) => (style.good("✓"), "decides: yes"),
        (List::Deny, true, _) => (style.bad("✗"), "decides: no"),
        (_, false, true) => (style.quiet("·"), "matches too"),
        (_, false, false) => (style.quiet("·"), "does not match"),
    };
    let why = rule.why.as_deref().map(|why| format!(" ({})", escape(why))).unwrap_or_default();
    let name = format!("{} {}", rule.list.name(), escape(&rule.rule));
    let mut text = format!("  {mark} {name}{why} {}\n", style.quiet(what));
    for seen in rule.conditions.iter().filter(|seen| rule.matches || !seen.holds) {
        text += &format!("      {}\n", visible(&condition(seen)));
    }
    text
}

fn condition(Seen { claim, wanted, got, .. }: &Seen) -> String {
    match got {
        Some(got) => format!("{claim} wants {wanted}, got {got}"),
        None => format!("{claim} wants {wanted}, which the token does not have"),
    }
}

/// For scripts.
fn to_json(explanation: &Explanation) -> Value {
    let Explanation { now, checks, claims, identity, rules, outcome } = explanation;
    let (rule, refusal) = match outcome {
        Ok(rule) => (rule.as_deref(), None),
        Err(error) => (None, Some(error)),
    };
    json!({
        "would_issue": outcome.is_ok(),
        "time": now.to_string(),
        "reason": refusal.map(http::reason),
        "message": refusal.map(ToString::to_string),
        "rule": rule,
        "checks": checks.iter().map(check_json).collect::<Vec<_>>(),
        "certificate": identity.as_ref().map(identity_json),
        "claims": claims.iter().map(claim_json).collect::<Vec<_>>(),
        "rules": rules.iter().map(rule_json).collect::<Vec<_>>(),
    })
}

fn check_json(check: &Check) -> Value {
    let finding = match check.finding {
        Finding::Holds => "holds",
        Finding::Fails => "fails",
        Finding::Open => "open",
    };
    json!({ "check": check.name, "finding": finding, "detail": check.detail })
}

fn identity_json(identity: &Identity) -> Value {
    let extensions = identity.extensions().iter();
    let extensions: Map<_, _> =
        extensions.map(|(extension, value)| (extension.name().to_owned(), value.into())).collect();
    let kind = match identity.san() {
        San::Email(_) => "email",
        San::Uri(_) => "uri",
        San::Username(_) => "username",
    };
    json!({
        "san": { "type": kind, "value": identity.san().as_str() },
        "extensions": extensions,
        "challenge": identity.challenge().as_str(),
    })
}

fn claim_json(UsedClaim { claim, value, default, uses }: &UsedClaim) -> Value {
    json!({ "claim": claim, "value": value, "default": default, "uses": uses })
}

fn rule_json(rule: &Review) -> Value {
    let condition = |Seen { claim, wanted, got, holds }: &Seen| json!({ "claim": claim, "wanted": wanted, "got": got, "holds": holds });
    json!({
        "list": rule.list.name(),
        "rule": rule.rule,
        "why": rule.why,
        "matches": rule.matches,
        "conditions": rule.conditions.iter().map(condition).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::config::{self, Overrides};
    use crate::quote::is_visible;
    use crate::time::Timestamp;

    const CONFIG: &str = r#"
issuers:
  - preset: github
    allow:
      - repository: acme/app
        ref: "refs/heads/*"
      - name: release
        why: our own tags
        repository_owner_id: "9919"
        ref: [ refs/heads/main, "refs/tags/v*" ]
    deny:
      - event_name: pull_request_target
"#;

    fn claims() -> Value {
        json!({
            "iss": "https://token.actions.githubusercontent.com", "aud": "sigstore",
            "sub": "repo:acme/app:ref:refs/tags/v1", "iat": 1_000, "exp": 2_000,
            "repository": "acme/app", "repository_id": "7", "repository_owner": "acme",
            "repository_owner_id": "9919", "repository_visibility": "public",
            "ref": "refs/tags/v1", "sha": "c0ffee", "event_name": "push", "workflow": "release",
            "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/tags/v1",
            "job_workflow_sha": "c0ffee", "workflow_sha": "c0ffee",
            "workflow_ref": "acme/app/.github/workflows/release.yml@refs/tags/v1",
            "runner_environment": "github-hosted", "run_id": "1", "run_attempt": "1",
        })
    }

    async fn told(token: &str) -> Explanation {
        told_by(CONFIG, token).await
    }

    async fn told_by(config: &str, token: &str) -> Explanation {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("mayfly.yaml");
        std::fs::write(&file, config).unwrap();
        let config = config::load(&file, &Overrides::default()).unwrap();
        let keyset = Keyset::new(config.issuers.clone()).unwrap();
        let now = Timestamp::from_secs(1_500);
        explain((&keyset, &config.policy), token, Signature::Skipped, now).await
    }

    /// What is told of a token that nobody signed.
    async fn of(claims: Value) -> Explanation {
        told(&token(claims)).await
    }

    fn token(claims: Value) -> String {
        let header = json!({ "alg": "RS256", "kid": "k" });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}.AAAA")
    }

    #[track_caller]
    fn shows(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|each| each.trim() == *line), "no line {line:?} in:\n{text}");
        }
    }

    #[tokio::test]
    async fn tells_the_whole_way_to_a_yes() {
        let explanation = of(claims()).await;
        let text = to_text(&explanation, Style::plain());
        shows(
            &text,
            &[
                "✓ a certificate would be issued, if the signature holds",
                "✓ token      a JWT, signed with RS256 by key \"k\"",
                "✓ issuer     https://token.actions.githubusercontent.com (ci-provider github)",
                "– signature  not checked",
                "✓ times      issued at 1970-01-01T00:16:40Z, expires at 1970-01-01T00:33:20Z, in 500 s",
                "✓ audience   is for \"sigstore\"",
                "✓ rules      \"release\" allows this",
                "source-repository-owner-identifier      9919",
                "repository_owner_id    \"9919\" → source-repository-owner-identifier, allow release",
                "environment            absent → deployment-environment",
                "· deny rule 1 does not match",
                "event_name wants pull_request_target, got push",
                "· allow rule 1 does not match",
                "ref wants refs/heads/*, got refs/tags/v1",
                "✓ allow release (our own tags) decides: yes",
            ],
        );
        let json = to_json(&explanation);
        assert_eq!((&json["would_issue"], &json["rule"]), (&json!(true), &json!("release")));
        assert_eq!(json["certificate"]["extensions"]["build-trigger"], "push");
    }

    #[tokio::test]
    async fn neither_file_nor_token_steers_the_terminal() {
        let config = CONFIG
            .replace(
                "- event_name: pull",
                "- \"/repo_property_\\e[2J\": x\n      - event_name: pull",
            )
            .replace("our own tags", "our o\u{202e}wn");
        let mut claims = claims();
        claims["workflow"] = json!("o'brien\u{ad}");
        claims["repo_property_\u{1b}[2J"] = json!("\u{1b}[2J");
        let text = to_text(&told_by(&config, &token(claims)).await, Style::plain());
        shows(&text, &["github-workflow-name                    o'brien\\u{ad}"]);
        assert!(text.contains(r"/repo_property_\u{1b}[2J wants x"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || is_visible(c)), "{text}");
    }

    #[tokio::test]
    async fn tells_why_not_and_everything_else_all_the_same() {
        let mut claims = claims();
        claims["event_name"] = json!("pull_request_target");
        claims["exp"] = json!(1_400);
        claims["ref"] = json!("refs/heads/\u{1b}[31m");
        let explanation = of(claims).await;
        let text = to_text(&explanation, Style::plain());
        assert!(text.starts_with("✗ refused: the token expired 100 s ago"), "{text}");
        assert!(text.lines().next().unwrap().ends_with("(TOKEN_EXPIRED)"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        shows(&text, &["✗ deny rule 1 decides: no", "· allow rule 1 matches too"]);
        let json = to_json(&explanation);
        assert_eq!(
            (&json["would_issue"], &json["reason"]),
            (&json!(false), &json!("TOKEN_EXPIRED"))
        );
        assert_eq!(json["rules"][0]["conditions"][0]["got"], "pull_request_target");
    }

    #[tokio::test]
    async fn what_the_configuration_wants_of_tokens_is_asked_of_unsigned_ones_too() {
        let strict =
            |line: &str| CONFIG.replacen("    deny:", &format!("    {line}\n    deny:"), 1);
        let text = async |line: &str| {
            to_text(&told_by(&strict(line), &token(claims())).await, Style::plain())
        };
        let wrong = text("algorithms: ES256").await;
        assert!(wrong.starts_with("✗ refused: the token is signed with RS256"), "{wrong}");
        assert!(wrong.contains("✗ signature  the token is signed with RS256"), "{wrong}");
        let old = text("max_token_age: 5m").await;
        assert!(old.starts_with("✗ refused: the token was issued 8 min ago"), "{old}");
        assert!(old.contains("✗ times      the token was issued 8 min ago"), "{old}");
        let fine = text("max_token_age: 10m").await;
        assert!(fine.starts_with("✓ a certificate would be issued"), "{fine}");
    }

    #[tokio::test]
    async fn an_issuer_that_nobody_configured_is_named_with_the_one_that_is() {
        let mut claims = claims();
        claims["iss"] = json!("https://token.actions.githubusercontent.com/");
        let text = to_text(&of(claims).await, Style::plain());
        assert!(
            text.contains("did you mean https://token.actions.githubusercontent.com?"),
            "{text}"
        );
        shows(&text, &["– audience   not checked: which one is right depends on the issuer"]);
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_as_one() {
        let text = to_text(&told("{}").await, Style::plain());
        assert!(text.starts_with("✗ refused: the token is not a JWT"), "{text}");
        assert!(text.contains("(TOKEN_INVALID)"), "{text}");
    }
}
