//! What is wrong with a `mayfly.yaml`: file, line, key, and what was expected.

use mayfly::config::{self, Config, ConfigErrors, Overrides};
use tempfile::TempDir;

use super::{GOOD, KEY_SET, bare, certificate, load, write};

/// Loads [`GOOD`] with `from` replaced, and compares every complaint.
#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "nothing to replace");
    check_whole(&GOOD.replacen(from, to, 1), expected);
}

#[track_caller]
fn check_whole(text: &str, expected: &[&str]) {
    let complaints = load(text).map(|_| ()).err().map(|errors| errors.to_string());
    assert_eq!(complaints.as_deref().unwrap_or_default(), expected.join("\n"));
}

#[test]
fn a_wrong_type_is_named_with_line_and_key() {
    check(
        "ref: [refs/heads/main, refs/tags/v*]",
        "ref: { is: main }",
        &[
            "mayfly.yaml:7: issuers[0].allow[0].ref: expected text, a list of texts, `{ not: … }` or `{ regex: … }`, got a map",
        ],
    );
    check(
        "10m",
        "[10m]",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got a list"],
    );
    check(
        "9919",
        "1.5",
        &[
            "mayfly.yaml:6: issuers[0].allow[0].repository_owner_id: expected text, got a number with a fraction: put it in quotes",
        ],
    );
    check(
        "https://ca.example.com",
        "7",
        &["mayfly.yaml:1: url: expected text, got a number: put it in quotes"],
    );
    check_whole("- a", &["mayfly.yaml:1: expected a map, got a list"]);
    check_whole("", &["mayfly.yaml:1: expected a map, got nothing"]);
}

/// One that is there twice would be a majority of its own.
#[test]
fn an_ntp_server_is_named_once() {
    let ntp = |servers: &str| format!("timestamps: {{ ntp: [{servers}] }}");
    check(
        "lifetime: 10m",
        &ntp("a.example, b.example, A.example"),
        &[
            "mayfly.yaml:10: timestamps.ntp: \"A.example\" is there twice, and would count twice; name each NTP server once",
        ],
    );
}

#[test]
fn an_unknown_key_shows_the_known_ones_and_a_later_one_says_so() {
    check(
        "lifetime: 10m",
        "lifetimes: 10m",
        &[
            "mayfly.yaml:10: lifetimes: unknown key; known here: url, listen, data, tls, proxy, no_proxy, issuers, authority, lifetime, backdate, denials, log, keep_refusals, signatures, timestamps",
        ],
    );
    check(
        "    type: email",
        "    type: email\n    limit: { per: email }",
        &["mayfly.yaml:10: issuers[1].limit: not supported yet"],
    );
    check(
        "lifetime: 10m",
        "authority: { key: \"pkcs11:object=ca\", chain: ca.pem }",
        &["mayfly.yaml:10: authority.key: pkcs11:… is not supported yet: name a file"],
    );
}

#[test]
fn what_tokens_and_keys_must_be_is_checked() {
    let idp = |lines: &str| format!("    type: email\n{lines}");
    check(
        "    type: email\n",
        &idp("    algorithms: [ RS256, HS256 ]\n    max_token_age: 5s\n"),
        &[
            "mayfly.yaml:10: issuers[1].algorithms: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA; got \"HS256\"",
            "mayfly.yaml:11: issuers[1].max_token_age: expected a duration from 30s to 86400s, got 5s",
        ],
    );
    check(
        "    type: email\n",
        &idp(&format!(
            "    keys: {{ inline: {KEY_SET} }}\n    bearer_token_file: token\n    algorithms: []\n"
        )),
        &[
            "mayfly.yaml:11: issuers[1].bearer_token_file: the keys are in the configuration: nobody is asked for them",
            "mayfly.yaml:12: issuers[1].algorithms: expected text or a list of texts, got an empty list",
        ],
    );
    check(
        "    type: email\n",
        "    type: email\n    bearer_token_file: token\n    algorithms: ES256\n    max_token_age: 1h\n",
        &[],
    );
    check(
        "  - url: https://idp.example.com\n",
        "  - url: https://*.idp.example.com\n    allow: anybody\n    bearer_token_file: token\n",
        &[
            "mayfly.yaml:10: issuers[1].bearer_token_file: a credential is shown to one host only, and a pattern has many",
        ],
    );
}

#[test]
fn who_reads_is_anyone_nobody_or_a_file_of_tokens() {
    check("lifetime: 10m", "log: { readers: anyone, records: { token_file: t }, mark: m }", &[]);
    check(
        "lifetime: 10m",
        "log: { readers: all, records: { token_file: 7 }, key: k }\nkeep_refusals: 400d",
        &[
            "mayfly.yaml:10: log.readers: expected anyone, nobody or { token_file: FILE }, got \"all\"",
            "mayfly.yaml:10: log.records.token_file: expected text, got a number: put it in quotes",
            "mayfly.yaml:10: log.key: unknown key; known here: readers, records, mark, witnesses",
            "mayfly.yaml:11: keep_refusals: expected a duration from 0s to 31622400s, got 400d",
        ],
    );
}

#[test]
fn who_logs_signatures_and_gets_timestamps_is_one_of_two_words() {
    check("lifetime: 10m", "signatures: { from: issued }\ntimestamps: { from: anyone }", &[]);
    check(
        "lifetime: 10m",
        "signatures: { from: nobody }\ntimestamps: { from: local }",
        &[
            "mayfly.yaml:10: signatures.from: expected anyone or issued, got \"nobody\"",
            "mayfly.yaml:11: timestamps.from: expected anyone or issued, got \"local\"",
        ],
    );
}

#[test]
fn witnesses_are_a_policy_that_can_be_asked() {
    const KEY: &str = "w.example+e25d5acc+BAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    let folder = TempDir::new().unwrap();
    let text = GOOD.replace("lifetime: 10m", "log: { witnesses: w.policy }");
    write(folder.path(), "mayfly.yaml", &text);
    let check = |policy: &str, expected: &[&str], warned: &[&str]| {
        write(folder.path(), "w.policy", policy);
        let loaded = config::load(&folder.path().join("mayfly.yaml"), &Overrides::default());
        let (complaints, warnings) = match bare(loaded, folder.path()) {
            Ok(config) => (String::new(), config.warnings),
            Err(errors) => (errors.to_string(), Vec::new()),
        };
        let line = |text: &&str| format!("mayfly.yaml:10: log.witnesses: w.policy: {text}");
        assert_eq!(complaints, expected.iter().map(line).collect::<Vec<_>>().join("\n"));
        assert_eq!(warnings, warned.iter().map(line).collect::<Vec<_>>());
    };
    let at = |url: &str| format!("witness A {KEY} {url}\nquorum A\n");
    const FEW: &str = "the witnesses that have a URL must be some, and enough for the quorum";
    const HTTPS: &str = "the witness \"A\": expected a URL that begins with https:// and a host";
    check(&at("https://w.example/a"), &[], &[]);
    check(&at("http://127.0.0.1:7380"), &[], &[]);
    check(&at("http://w.example"), &[HTTPS], &[]);
    check(&at("https://*.example"), &[HTTPS], &[]);
    check(
        &at("https://w.example/?a"),
        &["the witness \"A\": expected a URL without `?` and `#`"],
        &[],
    );
    check(&at(""), &[FEW], &[]);
    check(&at("").replace("quorum A", "quorum none"), &[FEW], &[]);
    check("quorum none", &[FEW], &[]);
    check(
        "witness A B C D",
        &[
            "line 1: expected `log <key> [<url>]`, `witness <name> <key> [<url>]`, `group <name> all|any|<number> <member>…` or `quorum <name>`",
        ],
        &[],
    );
    check("# nothing", &["a policy must have a line `quorum <name>`, or `quorum none`"], &[]);
    let other = "v.example+eb976f24+BAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC";
    let two = format!("witness B {other}\n{}", at("https://w.example"));
    check(&two, &[], &["the witness \"B\" has no URL, and is not asked"]);
    std::fs::remove_file(folder.path().join("w.policy")).unwrap();
    let missing = config::load(&folder.path().join("mayfly.yaml"), &Overrides::default());
    let missing = bare(missing, folder.path()).unwrap_err().to_string();
    assert!(missing.contains("log.witnesses: w.policy: cannot be read: "), "{missing}");
}

#[test]
fn a_proxy_is_one_that_we_can_talk_to() {
    const EXPECTED: &str = "mayfly.yaml:10: proxy: expected `environment`, or an HTTP proxy such as http://proxy.example.com:3128 (a user and a password belong into HTTPS_PROXY)";
    for url in ["https://proxy:3128", "socks5://proxy", "http://u:secret@proxy", "http://proxy/x"] {
        check("lifetime: 10m", &format!("proxy: {url}"), &[EXPECTED]);
    }
    check("lifetime: 10m", "proxy: http://proxy:3128\nno_proxy: [ 10.0.0.0/8, .internal ]", &[]);
    check(
        "lifetime: 10m",
        "no_proxy: localhost",
        &["mayfly.yaml:10: no_proxy: says what is not asked through `proxy`, and there is none"],
    );
}

#[test]
fn a_key_stands_once() {
    check(
        "lifetime: 10m",
        "lifetime: 10m\nurl: https://x.example.com",
        &["mayfly.yaml:11: url: stands here twice"],
    );
    check(
        "ref: [refs/heads/main, refs/tags/v*]",
        "repository_owner_id: 1",
        &["mayfly.yaml:7: issuers[0].allow[0].repository_owner_id: stands here twice"],
    );
}

/// What `choices` and `starts_with` of a hand-written `type: ci` take.
#[test]
fn checked_claims_are_maps_of_texts() {
    let ci = |keys: &str| {
        format!(
            "issuers:\n  - url: https://*.example.com/a\n    type: ci\n    allow: anybody\n    san: \"{{{{ .sub }}}}\"\n    {keys}\n"
        )
    };
    let complaint = |keys: &str| load(&ci(keys)).map(|_| ()).unwrap_err().to_string();
    assert!(load(&ci("choices: { kind: [ branch, tag ] }")).is_ok());
    assert!(load(&ci("starts_with: { sub: https://ci.example.com/ }")).is_ok());
    assert!(
        complaint("choices: { kind: [] }")
            .contains("issuers[0].choices.kind: expected text or a list")
    );
    assert!(complaint("choices: [ kind ]").contains("issuers[0].choices: expected a map"));
    assert!(
        complaint("starts_with: { sub: \"\" }")
            .contains("issuers[0].starts_with.sub: expected text")
    );
    assert!(
        complaint("starts_with: { sub: \"https://*/\" }")
            .contains("is the issuer's host, and a pattern has many")
    );
}

#[test]
fn text_that_is_no_yaml_says_where() {
    check(
        "listen: 127.0.0.1:5555",
        "listen: [127.0.0.1:5555",
        &[
            "mayfly.yaml:3: not YAML: did not find expected ',' or ']' at line 3 column 8, while parsing a flow sequence at line 2 column 9",
        ],
    );
    check(
        "lifetime: 10m",
        "lifetime: !minutes 10",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got a YAML tag"],
    );
}

#[test]
fn a_shared_issuer_needs_rules() {
    let remedy = |claim: &str| {
        format!(
            "write `allow: [ {{ {claim}: \"…\" }} ]` with what only your tokens have, or `allow: anybody`"
        )
    };
    let best = remedy("repository_owner_id");
    let rules = "    allow:\n      - repository_owner_id: 9919\n        ref: [refs/heads/main, refs/tags/v*]\n";
    check(
        rules,
        "",
        &[&format!(
            "mayfly.yaml:4: issuers[0]: https://token.actions.githubusercontent.com vouches for the whole world, and nothing says who may: {best}"
        )],
    );
    check(rules, "    allow: anybody\n", &[]);
    check(
        rules,
        "    allow: []\n",
        &[&format!("mayfly.yaml:5: issuers[0].allow: an empty list allows nobody: {best}")],
    );
    check(
        rules,
        "    allow: [ {} ]\n",
        &[
            "mayfly.yaml:5: issuers[0].allow[0]: a rule without conditions matches everybody: name at least one claim",
        ],
    );
    check(
        rules,
        "    allow: [ { name: x, why: y } ]\n",
        &[
            "mayfly.yaml:5: issuers[0].allow[0]: a rule without conditions matches everybody: name at least one claim",
        ],
    );
    let expected =
        "mayfly.yaml:5: issuers[0].allow: expected `anybody` or a list of rules, got text";
    check(rules, "    allow: acme\n", &[expected]);
    for word in ["everybody", "everyone", "all", "any", "anybdy"] {
        let expected = format!("{expected}; did you mean anybody?");
        check(rules, &format!("    allow: {word}\n"), &[&expected]);
    }
    // By its URL alone, and as a pattern.
    check(
        "https://idp.example.com",
        "https://accounts.google.com",
        &[&format!(
            "mayfly.yaml:8: issuers[1]: https://accounts.google.com vouches for the whole world, and nothing says who may: {}",
            remedy("email")
        )],
    );
    check(
        "https://idp.example.com",
        "https://*.idp.example.com",
        &[&format!(
            "mayfly.yaml:8: issuers[1]: https://*.idp.example.com is a pattern, and vouches for everybody who gets an issuer under it, and nothing says who may: {}",
            remedy("iss: \"…\", email")
        )],
    );
}

#[test]
fn the_remedy_names_a_claim_that_the_tokens_have() {
    for (issuer, claim) in [
        ("preset: gitlab", "namespace_id"),
        ("preset: google", "email"),
        ("preset: eks", "iss: \"…\", /kubernetes.io/namespace"),
        ("{ preset: eks, url: https://x.example.com }", "/kubernetes.io/namespace"),
        (
            "{ url: \"https://*.example.com\", type: kubernetes }",
            "iss: \"…\", /kubernetes.io/namespace",
        ),
        ("{ url: https://gitlab.com, type: spiffe, trust_domain: x.com }", "sub"),
    ] {
        let errors = load(&format!("issuers:\n  - {issuer}\n")).unwrap_err().to_string();
        assert!(errors.contains(&format!("write `allow: [ {{ {claim}: ")), "{errors}");
    }
}

#[test]
fn an_issuer_is_https_and_within_somebodys_domain() {
    let url = "https://idp.example.com";
    let at = |complaint: &str| format!("mayfly.yaml:8: issuers[1].url: {complaint}");
    check(url, "idp.example.com", &[&at("expected a URL that begins with https://")]);
    check(
        url,
        "http://idp.example.com",
        &[&at("expected https:// and one host (http:// is for this machine only)")],
    );
    check(url, "http://127.0.0.1:4000", &[]);
    check(
        url,
        "https://me:secret@idp.example.com",
        &[&at("expected a URL without user name or password")],
    );
    check(
        url,
        "https://*.com",
        &[&at("expected a pattern without `*` in the last two labels of the host name")],
    );
    check(
        url,
        "https://token.actions.githubusercontent.com\n    allow: anybody",
        &[
            "mayfly.yaml:8: issuers[1]: issuer https://token.actions.githubusercontent.com is already in this list",
        ],
    );
}

/// Every type is named where people look for it: in the complaint about another one, and in the sample.
#[test]
fn every_type_is_named_where_it_is_looked_for() {
    let sample = include_str!("../../../config/mayfly.yaml");
    for (written, meant) in [
        ("chainguard-identity", "chainguard"),
        ("ci-provider", "ci"),
        ("github-workfow", "github-workflow"),
        ("Kubernetes", "kubernetes"),
    ] {
        let errors = load(&GOOD.replace("type: email", &format!("type: {written}"))).unwrap_err();
        let errors = errors.to_string();
        assert!(errors.ends_with(&format!("; did you mean {meant}?")), "{errors}");
        let (_, types) = errors.split_once("expected one of ").unwrap();
        for name in types.split(';').next().unwrap().split(", ") {
            assert!(sample.contains(name), "{name} is not in the sample");
        }
    }
}

#[test]
fn keys_belong_to_their_types() {
    let email = "    type: email";
    check(
        email,
        "    type: mail",
        &[
            "mayfly.yaml:9: issuers[1].type: expected one of email, uri, username, spiffe, kubernetes, chainguard, ci, github-workflow, gitlab-pipeline, buildkite-job, codefresh-workflow; got \"mail\"; did you mean email?",
        ],
    );
    check(
        email,
        "    audiences: sigstore",
        &["mayfly.yaml:8: issuers[1]: needs `preset` or `type`"],
    );
    check(
        email,
        "    type: email\n    subject_domain: example.com",
        &[
            "mayfly.yaml:10: issuers[1].subject_domain: belongs to type uri or username, not to email",
        ],
    );
    check(email, "    type: username", &["mayfly.yaml:8: issuers[1]: needs `subject_domain`"]);
    check(
        email,
        "    type: username\n    subject_domain: example.org",
        &[
            "mayfly.yaml:10: issuers[1].subject_domain: expected a domain that shares its last two labels with the issuer's host idp.example.com, got \"example.org\"",
        ],
    );
    check(
        email,
        "    type: spiffe\n    trust_domain: Example",
        &[
            "mayfly.yaml:10: issuers[1].trust_domain: expected a trust domain of a-z, 0-9, `-`, `.`, `_` such as example.org, got \"Example\"",
        ],
    );
    check(
        "preset: github",
        "preset: github\n    type: ci",
        &["mayfly.yaml:5: issuers[0].type: the preset gives the type: leave one of them out"],
    );
    check(
        "preset: github",
        "preset: github\n    san: x",
        &[
            "mayfly.yaml:5: issuers[0].san: the preset brings its own templates: write `type: ci` instead of `preset`",
        ],
    );
}

#[test]
fn templates_are_parsed_when_the_file_is_read() {
    let email = "    type: email";
    check(email, "    type: ci", &["mayfly.yaml:8: issuers[1]: needs `san`"]);
    check(
        email,
        "    type: ci\n    san: sub\n    extensions: { issuer: iss, colour: c }",
        &[
            "mayfly.yaml:11: issuers[1].extensions.issuer: comes from the token itself and cannot be written here",
            "mayfly.yaml:11: issuers[1].extensions.colour: unknown extension; expected a name such as source-repository-uri",
        ],
    );
    let errors = load(&GOOD.replacen(email, "    type: ci\n    san: \"{{ .a\"", 1)).unwrap_err();
    assert!(
        errors.to_string().starts_with("mayfly.yaml:10: issuers[1].san: not a template: column "),
        "{errors}"
    );
}

#[test]
fn numbers_stay_within_their_bounds() {
    check(
        "10m",
        "11m",
        &["mayfly.yaml:10: lifetime: expected a duration from 60s to 600s, got 11m"],
    );
    check(
        "10m",
        "59s",
        &["mayfly.yaml:10: lifetime: expected a duration from 60s to 600s, got 59s"],
    );
    check(
        "10m",
        "10",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got \"10\""],
    );
    check(
        "10m",
        "99999999999999999999s",
        &[
            "mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got \"99999999999999999999s\"",
        ],
    );
    check(
        "lifetime: 10m",
        "backdate: 61s",
        &["mayfly.yaml:10: backdate: expected a duration from 0s to 60s, got 61s"],
    );
    check(
        "127.0.0.1:5555",
        "localhost",
        &[
            "mayfly.yaml:2: listen: expected an address and a port such as 0.0.0.0:5555, got \"localhost\"",
        ],
    );
}

#[test]
fn the_name_that_clients_use_has_no_path_and_is_needed_beyond_loopback() {
    let url = "url: https://ca.example.com\n";
    check(
        url,
        "url: https://ca.example.com/fulcio\n",
        &[
            "mayfly.yaml:1: url: expected scheme, host and port only, such as https://ca.example.com",
        ],
    );
    assert_eq!(load(&GOOD.replace(url, "")).unwrap().url, "http://127.0.0.1:5555");
    assert_eq!(
        load(&GOOD.replace(url, "url: https://ca.example.com:8443/\n")).unwrap().url,
        "https://ca.example.com:8443"
    );
    check_whole(
        &GOOD.replace(url, "").replace("127.0.0.1", "0.0.0.0"),
        &[
            "mayfly.yaml:1: needs `url` (or --url), the name that clients use, such as https://ca.example.com",
        ],
    );
    let exposed = load(&GOOD.replace("https://ca.", "http://ca.")).unwrap();
    assert_eq!(
        exposed.warnings,
        ["mayfly.yaml:1: url: http:// sends tokens over the network in the clear"]
    );
}

#[test]
fn a_listener_with_tls_is_asked_over_https() {
    let url = "url: https://ca.example.com\n";
    let tls = "tls: { certificate: c, key: k }\n";
    assert_eq!(load(&GOOD.replace(url, tls)).unwrap().url, "https://127.0.0.1:5555");
    check(
        url,
        &format!("url: http://127.0.0.1:5555\n{tls}"),
        &[
            "mayfly.yaml:1: clients would ask http://127.0.0.1:5555, and `tls` makes the listener https://",
        ],
    );
}

#[test]
fn a_file_is_one_document() {
    check_whole(
        &format!("{GOOD}---\nurl: https://x.example.com\n"),
        &["mayfly.yaml: expected one YAML document, got several"],
    );
}

#[test]
fn a_rule_says_what_a_claim_must_look_like() {
    let place = "mayfly.yaml:6: issuers[0].allow[0].repository_owner_id";
    check("9919", "{ not: [ 9919, x ] }", &[]);
    check("9919", "{ regex: \"99[0-9]+\" }", &[]);
    check("9919", "[ a*, { regex: b+ }, { not: { regex: c+ } }, true, 7 ]", &[]);
    check(
        "9919",
        "{ regex: \"a)|(b\" }",
        &[&format!("{place}.regex: not a regular expression: unopened group")],
    );
    check(
        "9919",
        "{ regex: \"*.release\" }",
        &[&format!(
            "{place}.regex: not a regular expression: repetition operator missing expression: in a regex write `.*` for any run of characters"
        )],
    );
    check(
        "9919",
        "{ regex: \"(\\\\w{100}){100}\" }",
        &[&format!(
            "{place}.regex: this regular expression is too large: repeat less, or use `*` patterns"
        )],
    );
    check(
        "9919",
        "{ regex: 99 }",
        &[&format!("{place}.regex: expected text, got a number: put it in quotes")],
    );
    let either = "expected text, a list of texts, `{ not: … }` or `{ regex: … }`, got a map";
    check("9919", "{ regex: a, not: b }", &[&format!("{place}: {either}")]);
}

#[test]
fn a_rule_speaks_of_itself_in_one_line() {
    let long = "x".repeat(201);
    check(
        "        ref: [refs/heads/main, refs/tags/v*]",
        &format!("        name: {long}\n        why: \"a\\nb\""),
        &[
            "mayfly.yaml:7: issuers[0].allow[0].name: expected one line of at most 200 characters",
            "mayfly.yaml:8: issuers[0].allow[0].why: expected one line of at most 200 characters",
        ],
    );
}

#[test]
fn a_denial_that_absence_slips_through_is_odd() {
    let warned = |deny: &str| {
        load(&GOOD.replace("lifetime: 10m", &format!("#{deny}")).replacen(
            "    allow:",
            &format!("    deny: [ {deny} ]\n    allow:"),
            1,
        ))
        .unwrap()
        .warnings
    };
    let odd = "mayfly.yaml:5: issuers[0].deny[0]: `not` denies no token that has no environment at all: to deny those, too, leave this out and write `environment: …` with what may pass into every rule of `allow`";
    assert_eq!(warned("{ environment: { not: production } }"), [odd]);
    assert_eq!(warned("{ environment: [ a, { not: production } ] }"), [odd]);
    assert_eq!(warned("{ environment: staging }"), [""; 0]);
}

/// Compares what is odd about [`GOOD`] with the owner's number replaced.
#[track_caller]
fn check_warnings(to: &str, expected: &[&str]) {
    let text = GOOD.replacen("repository_owner_id: 9919", to, 1);
    let mut warnings = load(&text).unwrap().warnings;
    // GitLab's claims under GitHub's preset, and rules of one claim, are odd for reasons of their own.
    let others = ["have no claim", "nothing in this rule says whose"];
    warnings.retain(|warning| !others.iter().any(|other| warning.contains(other)));
    assert_eq!(warnings, expected);
}

#[test]
fn a_name_that_can_change_hands_is_warned_of() {
    let warned = |claim: &str, numbers: &str| {
        format!(
            "mayfly.yaml:6: issuers[0].allow[0]: {claim} is a name, which somebody else may take once it is given up: add {numbers}, whose number stays"
        )
    };
    let repository = warned("repository", "repository_id or repository_owner_id");
    check_warnings("repository: acme/app", &[&repository]);
    check_warnings("repository: [ acme/*, { not: acme/old } ]", &[&repository]);
    check_warnings("repository: { regex: acme/.* }", &[&repository]);
    check_warnings("repository: acme/app\n        repository_owner_id: 9919", &[]);
    check_warnings("repository: \"*\"", &[]);
    check_warnings("repository: { not: acme/app }", &[]);
    check_warnings(
        "repository_owner: acme",
        &[&warned("repository_owner", "repository_owner_id or repository_id")],
    );
    check_warnings("project_path: a/b", &[&warned("project_path", "project_id or namespace_id")]);
    check_warnings("namespace_path: a", &[&warned("namespace_path", "namespace_id or project_id")]);
    let subject = warned("sub", "repository_id or repository_owner_id");
    check_warnings("sub: \"repo:acme/app:*\"", &[&subject]);
    check_warnings("sub: somebody", &[]);
}

/// Of a shared issuer or a pattern: a rule that its every tenant fits.
#[test]
fn a_rule_that_says_not_whose_tokens_it_means_is_odd() {
    let check = |issuer: &str, url: &str, add: &str, rules: &[(&str, bool)]| {
        for (rule, is_bound) in rules {
            let mut warnings =
                load(&format!("issuers:\n  - {issuer}\n    allow: [ {{ {rule} }} ]\n"))
                    .unwrap()
                    .warnings;
            warnings.retain(|warning| warning.contains("whose tokens"));
            let odd = format!(
                "mayfly.yaml:{}: issuers[0].allow[0]: nothing in this rule says whose tokens are meant, and every tenant of {url} fits it: add {add}",
                issuer.lines().count() + 2
            );
            assert_eq!(warnings, if *is_bound { vec![] } else { vec![odd] }, "{issuer} {rule}");
        }
    };
    let url = "https://token.actions.githubusercontent.com";
    let rules = [
        ("ref: refs/heads/main", false),
        ("event_name: push, runner_environment: github-hosted", false),
        ("repository_owner_id: \"*\"", false),
        ("repository_owner_id: \"\"", false),
        ("repository_owner_id: { not: \"1\" }", false),
        ("repository_owner_id: [ \"1\", { not: \"2\" } ]", false),
        ("repository: { regex: \".*/app\" }", false),
        ("sub: \"repo:*\"", false),
        ("iss: \"https://token.*\"", false),
        ("repository_owner_id: [ \"1\", \"2\" ]", true),
        ("/repository_owner_id: \"1\"", true),
        ("repository: { regex: \"acme/.*\" }", true),
        ("sub: \"repo:acme/*\"", true),
        ("job_workflow_ref: acme/app/.github/workflows/*, ref: refs/heads/main", true),
    ];
    check("preset: github", url, "repository_owner_id", &rules);
    // One organisation's own issuer, or somebody's own forge.
    check(
        "preset: github\n    url: https://g.example.com/_services/token",
        "",
        "",
        &[("ref: refs/heads/main", true)],
    );
    let rules = [
        ("email: \"*\"", false),
        ("email: \"*@example.com\"", true),
        ("email_verified: true", false),
    ];
    check("preset: google", "https://accounts.google.com", "email", &rules);
    check(
        "url: https://accounts.google.com\n    type: email",
        "https://accounts.google.com",
        "email",
        &rules,
    );
    let namespace = ("/kubernetes.io/namespace: ci", false);
    let gke = "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*";
    let rules = [
        namespace,
        ("sub: system:serviceaccount:ci:release", false),
        ("iss: \"https://container.googleapis.com/v1/*\"", false),
        ("iss: \"https://container.googleapis.com/v1/projects/acme/*\"", true),
    ];
    check("preset: gke", gke, "iss", &rules);
    check("preset: eks", "https://oidc.eks.*.amazonaws.com/id/*", "iss", &[namespace]);
    check("preset: aks", "https://*.oic.prod-aks.azure.com/*/*", "iss", &[namespace]);
    let own = "url: \"https://*.example.com\"\n    type: kubernetes";
    check(own, "https://*.example.com", "iss", &[namespace]);
}

#[test]
fn a_placeholder_is_no_value() {
    let still = |line: u8, key: &str, held: &str| {
        let key = format!("mayfly.yaml:{line}: issuers[0].{key}");
        format!("{key}: still holds the placeholder {held}: write whose tokens are meant")
    };
    let owner = |to: &str, held: &str| {
        check("9919", to, &[&still(6, "allow[0].repository_owner_id", held)]);
    };
    owner("…", "…");
    owner("\"…\"", "…");
    let inner = |to: &str, form: &str| {
        check("9919", to, &[&still(6, &format!("allow[0].repository_owner_id.{form}"), "…")]);
    };
    inner("{ not: acme… }", "not");
    inner("{ regex: \"…/.*\" }", "regex");
    owner("OWNER", "OWNER");
    let ours = "9919\n      - namespace_path: [ \"GROUP\", \"GROUP/*\" ]\n    deny:\n      - sub: \"repo:OWNER/app:*\"\n      -";
    check(
        "9919\n       ",
        ours,
        &[
            &still(7, "allow[1].namespace_path[0]", "GROUP"),
            &still(7, "allow[1].namespace_path[1]", "GROUP"),
            &still(9, "deny[0].sub", "OWNER"),
        ],
    );
    check("9919", "{ regex: \"[O]WNER\" }", &[]);
    check("9919", "SNOWNER", &[]);
}

#[test]
fn what_looks_like_a_placeholder_is_odd() {
    for (text, is_odd) in [
        ("<your-org-id>", true),
        ("acme/<repository>", true),
        ("YOUR_ORG", true),
        ("your-org/app", true),
        ("my-org/my-repo", true),
        ("acme/of-your-own", false),
        ("a<b", false),
    ] {
        let quoted = format!("\"{text}\"");
        let odd = format!(
            "mayfly.yaml:6: issuers[0].allow[0].repository_id: {quoted} looks like a placeholder: write whose tokens are meant"
        );
        let odd = if is_odd { vec![odd.as_str()] } else { vec![] };
        check_warnings(&format!("repository_id: {quoted}"), &odd);
    }
}

/// It would deny nobody, where in `allow` it allows nobody.
#[test]
fn a_denial_by_a_claim_that_no_token_has_is_refused() {
    let deny = "9919\n    deny:\n      - event_nam: push\n      -";
    check(
        "9919\n       ",
        deny,
        &[
            "mayfly.yaml:8: issuers[0].deny[0].event_nam: the tokens of preset github have no claim \"event_nam\"; did you mean event_name? (by a claim newer than the preset, deny with `{ not: … }` in every rule of `allow`)",
        ],
    );
    assert_eq!(load(&GOOD.replace("        ref:", "        reff:")).unwrap().warnings.len(), 1);
    // The way that it names is open.
    check_warnings("repository_owner_id: 9919\n        newer: { not: bad }", &[]);
}

#[test]
fn what_is_not_shown_is_counted() {
    let rules = |lines: &str| GOOD.replacen("9919\n", &format!("9919\n{}", lines.repeat(102)), 1);
    let odd = load(&rules("      - repository: acme/app\n")).unwrap().warnings;
    assert_eq!(odd.len(), 101);
    assert_eq!(odd.last().map(String::as_str), Some("mayfly.yaml: and 2 more"));
    let wrong = load(&rules("      - repository: []\n")).unwrap_err().0;
    assert_eq!(wrong.len(), 101);
    assert_eq!(wrong.last().map(ToString::to_string).as_deref(), Some("mayfly.yaml: and 2 more"));
}

#[test]
fn a_pattern_that_says_something_else_is_odd() {
    let odd = |to: &str, warning: &str| {
        let key = "mayfly.yaml:6: issuers[0].allow[0].actor_id";
        let expected: Vec<String> = match warning {
            "" => Vec::new(),
            text => vec![format!("{key}{text}")],
        };
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_warnings(&format!("actor_id: {to}"), &expected);
    };
    odd(
        "[ { not: \"1\" }, { not: \"2\" } ]",
        ": a list means any of, and what is 1 is other than 2: to leave out both, write `{ not: [ …, … ] }`",
    );
    odd("[ \"1\", { not: \"1\" } ]", ": every value is 1 or other than 1: leave one of them out");
    odd("[ \"1\", \"*\" ]", ": `*` fits every value, so the rest of the list does nothing");
    odd("[ \"1\", { not: \"2\" } ]", "");
    odd("[ \"*\" ]", "");
    let glob = |c: char| {
        format!(
            ".regex: in a regex `{c}*` is any number of \"{c}\": for any run of characters write `{c}.*`, or leave `regex` out"
        )
    };
    odd("{ regex: \"refs/heads/*\" }", &glob('/'));
    odd("{ regex: \"refs/tags/v*\" }", &glob('v'));
    odd("{ regex: \"[/a-z]*/*\" }", &glob('/'));
    for sound in ["refs/heads/.*", "[/a*]+", "(a|b)*", r"\\d*", r"a/\\*", "a+", "[0-9]*"] {
        odd(&format!("{{ regex: \"{sound}\" }}"), "");
    }
}

#[test]
fn a_text_that_was_meant_as_an_expression_is_odd() {
    let odd = "mayfly.yaml:6: issuers[0].allow[0].actor_id: this is compared as plain text: for an expression write `{ regex: … }`";
    for text in ["^v", "v$", "acme/.*", ".+", "v[0-9]+", "[^a]", r"v\d+", r"a\.b"] {
        check_warnings(&format!("actor_id: '{text}'"), &[odd]);
    }
    for text in ["v1.*", "*.example.com", "dependabot[bot]", "a$b", "acme/*"] {
        check_warnings(&format!("actor_id: '{text}'"), &[]);
    }
}

#[test]
fn a_text_that_no_value_begins_like_is_odd() {
    let odd = |to: &str, expected: Option<&str>| {
        let text = GOOD.replace("[refs/heads/main, refs/tags/v*]", to);
        let place = "mayfly.yaml:7: issuers[0].allow[0].ref: every value here begins with refs/, so none is";
        let expected: Vec<_> = expected.iter().map(|text| format!("{place} \"{text}\"")).collect();
        assert_eq!(load(&text).unwrap().warnings, expected, "{to}");
    };
    odd("main", Some("main"));
    odd("[ refs/heads/main, v* ]", Some("v*"));
    odd("{ not: main }", Some("main"));
    for sound in ["refs/heads/main", "\"*/main\"", "r*", "{ regex: main }"] {
        odd(sound, None);
    }
}

#[test]
fn two_rules_of_one_name_are_odd() {
    let odd = |allow: &str, deny: &str, expected: &[&str]| {
        let allow = format!("repository_id: 1\n      - {allow}\n    deny:\n      - {deny}\n    #");
        let text = GOOD.replacen("repository_owner_id: 9919\n", &allow, 1);
        assert_eq!(load(&text).unwrap().warnings, expected);
    };
    let odd_at = |line: u8, key: &str, label: &str| {
        format!(
            "mayfly.yaml:{line}: issuers[0].{key}: another rule of this issuer is called \"{label}\" too: nobody can tell which of them a refusal or a record means"
        )
    };
    let [one, two] = ["{ name: a, repository_id: 1 }", "{ name: b, repository_id: 2 }"];
    odd(one, two, &[]);
    odd(one, one, &[&odd_at(9, "deny[0]", "a")]);
    odd("{ name: rule 1, repository_id: 1 }", two, &[&odd_at(7, "allow[1]", "rule 1")]);
    odd("{ name: rule 2, repository_id: 1 }", "{ repository_id: 2 }", &[]);
    odd(one, "{ name: rule 1, repository_id: 2 }", &[&odd_at(9, "deny[0]", "rule 1")]);
}

#[test]
fn a_text_of_ours_that_our_own_choices_refuse_is_odd() {
    let ci = |keys: &str| {
        format!(
            "url: https://ca.example.com\nissuers:\n  - url: https://ci.example.com\n    type: ci\n    san: \"{{{{ .sub }}}}\"\n    choices: {{ kind: [ branch, tag ] }}\n    {keys}\n"
        )
    };
    let odd = |key: &str, value: &str, expected: &[&str]| {
        let text = ci(&format!("{key}: {{ other: x, kind: {value} }}"));
        let expected: Vec<_> = expected
            .iter()
            .map(|text| {
                format!("mayfly.yaml:7: issuers[0].{key}: {text}: tokens are refused for it")
            })
            .collect();
        assert_eq!(load(&text).unwrap().warnings, expected);
    };
    odd("defaults", "tag", &[]);
    odd("defaults", "tags", &["\"tags\" stands for \"kind\", and `choices` does not have it"]);
    odd("constants", "\"\"", &["\"\" stands for \"kind\", and `choices` does not have it"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    check_whole(
        "url: 1\nlisten: x\ntls: {}\nissuers:\n  - preset: gitbuh\n  - type: email\n    allow:\n      - a: {}\n        b: []\n    deny: anybody\nlifetime: 1h\n",
        &[
            "mayfly.yaml:1: url: expected text, got a number: put it in quotes",
            "mayfly.yaml:2: listen: expected an address and a port such as 0.0.0.0:5555, got \"x\"",
            "mayfly.yaml:3: tls: needs `certificate`",
            "mayfly.yaml:3: tls: needs `key`",
            &format!(
                "mayfly.yaml:5: issuers[0].preset: expected one of {}; got \"gitbuh\"; did you mean github?",
                presets()
            ),
            "mayfly.yaml:6: issuers[1]: needs `url`, the `iss` of its tokens",
            "mayfly.yaml:8: issuers[1].allow[0].a: expected text, a list of texts, `{ not: … }` or `{ regex: … }`, got a map",
            "mayfly.yaml:9: issuers[1].allow[0].b: an empty list matches nothing: leave the rule out, or name a value",
            "mayfly.yaml:10: issuers[1].deny: expected a list of rules, got text",
            "mayfly.yaml:11: lifetime: expected a duration from 60s to 600s, got 1h",
        ],
    );
}

/// The presets as complaints list them: the files of `config/presets`, by name.
fn presets() -> String {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut names: Vec<_> =
        paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names.join(", ")
}

/// Loads an issuer with files beside it.
fn load_with(files: &[(&str, &str)], issuer: &str) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, text)| write(folder.path(), name, text));
    write(folder.path(), "mayfly.yaml", &GOOD.replacen("    type: email", issuer, 1));
    bare(config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()), folder.path())
}

#[track_caller]
fn check_with(files: &[(&str, &str)], issuer: &str, expected: Option<&str>) {
    let complaints = load_with(files, issuer).map(|_| ()).err().map(|errors| errors.to_string());
    assert_eq!(complaints.as_deref(), expected);
}

#[test]
fn files_that_the_configuration_names_are_read_from_its_own_folder() {
    let issuer = "    type: email\n    ca: ca.pem";
    let certificate = certificate();
    check_with(&[("ca.pem", &certificate)], issuer, None);
    check_with(
        &[],
        issuer,
        Some(
            "mayfly.yaml:10: issuers[1].ca: ca.pem: cannot be read: No such file or directory (os error 2)",
        ),
    );
    check_with(
        &[("ca.pem", "hello")],
        issuer,
        Some("mayfly.yaml:10: issuers[1].ca: expected PEM certificates, got none"),
    );
    let broken = certificate.replace("MII", "MIM");
    check_with(
        &[("ca.pem", &broken)],
        issuer,
        Some("mayfly.yaml:10: issuers[1].ca: expected PEM certificates, got one that is broken"),
    );
}

#[test]
fn keys_come_from_one_place_and_are_public() {
    let set = KEY_SET;
    let file = "    type: email\n    keys: { file: jwks.json }";
    check_with(&[("jwks.json", set)], file, None);
    let expected = "mayfly.yaml:10: issuers[1].keys.file: expected a JSON Web Key Set: {\"keys\": [ … ]} with 1 to 100 keys";
    check_with(&[("jwks.json", "{}")], file, Some(expected));
    check_with(&[("jwks.json", "{\"keys\":[]}")], file, Some(expected));
    let odd = "mayfly.yaml:10: issuers[1].keys.file: holds no key that can be used: expected RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519";
    check_with(&[("jwks.json", &set.replace("Ed25519", "X25519"))], file, Some(odd));
    let private = set.replace("\"x\"", "\"d\":\"secret\",\"x\"");
    check_with(
        &[("jwks.json", &private)],
        file,
        Some(
            "mayfly.yaml:10: issuers[1].keys.file: holds a private or symmetric key: give public keys only",
        ),
    );
    check_with(&[], &format!("    type: email\n    keys: {{ inline: {set} }}"), None);
    check_with(&[], "    type: email\n    keys: { url: https://idp.example.com/jwks }", None);
    check_with(
        &[],
        "    type: email\n    keys: { url: http://idp.example.com/jwks }",
        Some(
            "mayfly.yaml:10: issuers[1].keys.url: expected https:// and one host (http:// is for this machine only)",
        ),
    );
    check_with(
        &[],
        "    type: email\n    keys: {}",
        Some("mayfly.yaml:10: issuers[1].keys: expected exactly one of file, url, inline"),
    );
    check_with(
        &[],
        "    type: email\n    keys: { file: a, url: b }",
        Some("mayfly.yaml:10: issuers[1].keys: expected exactly one of file, url, inline"),
    );
}
