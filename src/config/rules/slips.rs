//! Patterns that say something else than what was meant.

use crate::policy::Pattern;
use crate::quote::quote;

/// Words that our help has where a name belongs, and that people copy with it.
const WORDS: &[&str] = &["OWNER", "GROUP"];

/// What is wrong with a text that nobody has filled in: it has `…` somewhere, or one of [`WORDS`] as a part.
pub(super) fn placeholder(text: &str) -> Option<String> {
    let word = || text.split(['/', ':', '@']).find(|part| WORDS.contains(part));
    let held = if text.contains('…') { Some("…") } else { word() };
    held.map(|held| format!("still holds the placeholder {held}: write whose tokens are meant"))
}

/// What stands where a name belongs in what others write, as a part begins.
const STAND_INS: &[&str] = &["your-", "your_", "my-org", "my_org"];

/// What is odd about a text that looks as if nobody has filled it in: `<org-id>`, `YOUR_ORG`, `my-org/my-repo`.
///
/// No more than odd: somebody may be called so.
pub(super) fn stand_in(text: &str) -> Option<String> {
    let bracketed = text.split_once('<').filter(|(_, rest)| rest.contains('>'));
    let lower = text.to_lowercase();
    let mut parts = lower.split(['/', ':', '@']);
    let begins = |part: &str| STAND_INS.iter().any(|stand_in| part.starts_with(stand_in));
    let is_odd = bracketed.is_some() || parts.any(begins);
    is_odd.then(|| {
        let text = quote(text);
        format!("{text} looks like a placeholder: write whose tokens are meant")
    })
}

/// What is odd about a plain text that was meant as an expression: `^v`, `acme/.*`, `v[0-9]+`, `v\d`.
///
/// `v1.*` and `dependabot[bot]` are plain texts.
pub(super) fn expression(text: &str) -> Option<String> {
    let runs = |run: &str| {
        let mut befores = text.match_indices(run).filter_map(|(at, _)| text.get(..at));
        befores.any(|before| !before.ends_with(char::is_alphanumeric))
    };
    let classes = || {
        let inner = text.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
        inner.map(|(inner, _)| inner).any(|inner| inner.contains('-') || inner.starts_with('^'))
    };
    let escapes = || [r"\d", r"\w", r"\s", r"\."].iter().any(|escape| text.contains(escape));
    let anchors = text.starts_with('^') || text.ends_with('$');
    let is_odd = anchors || runs(".*") || runs(".+") || classes() || escapes();
    is_odd.then(|| {
        "this is compared as plain text: for an expression write `{ regex: … }`".to_owned()
    })
}

/// What to write where an expression begins with a `*`.
pub(super) const RUN: &str = ": in a regex write `.*` for any run of characters";

/// What is odd about a text for a claim whose values all begin with `beginning`: `main` for `refs/heads/main`.
pub(super) fn elsewhere(pattern: &Pattern, beginning: &str) -> Option<String> {
    match pattern {
        Pattern::Text(text) => {
            let (fixed, is_open) =
                text.split_once('*').map_or((text.as_str(), false), |(it, _)| (it, true));
            let fits = fixed.starts_with(beginning) || is_open && beginning.starts_with(fixed);
            (!fits).then(|| {
                format!("every value here begins with {beginning}, so none is {}", quote(text))
            })
        }
        Pattern::Any(patterns) => patterns.iter().find_map(|pattern| elsewhere(pattern, beginning)),
        Pattern::Not(pattern) => elsewhere(pattern, beginning),
        Pattern::Regex(_) => None,
    }
}

/// What is odd about a list that whatever there is fits.
pub(super) fn always_true(patterns: &[Pattern]) -> Option<String> {
    let everything = |pattern: &&Pattern| matches!(pattern, Pattern::Text(text) if text == "*");
    if patterns.len() > 1 && patterns.iter().any(|pattern| everything(&pattern)) {
        return Some("`*` fits every value, so the rest of the list does nothing".to_owned());
    }
    let mut turned = patterns.iter().filter_map(|pattern| match pattern {
        Pattern::Not(inner) => Some(inner.as_ref()),
        Pattern::Text(_) | Pattern::Regex(_) | Pattern::Any(_) => None,
    });
    let first = turned.next()?;
    if let Some(second) = turned.next() {
        return Some(format!(
            "a list means any of, and what is {first} is other than {second}: to leave out both, write \
             `{{ not: [ …, … ] }}`"
        ));
    }
    let both = patterns.contains(first);
    both.then(|| format!("every value is {first} or other than {first}: leave one of them out"))
}

/// What is odd about an expression in which a `*` looks as it does in a text.
///
/// People write `refs/heads/*` and mean any branch; as an expression it is any number of slashes.
pub(super) fn glob(source: &str) -> Option<String> {
    // A plain character outside of `[…]`, just behind us.
    let mut before: Option<char> = None;
    let mut in_class = false;
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match (c, before) {
            ('\\', _) => {
                characters.next();
                before = None;
            }
            ('*', Some(plain)) => {
                return Some(format!(
                    "in a regex `{plain}*` is any number of \"{plain}\": for any run of characters write \
                     `{plain}.*`, or leave `regex` out"
                ));
            }
            _ => {
                in_class = c == '[' || in_class && c != ']';
                let plain = c.is_ascii_alphanumeric() || "/-_:@".contains(c);
                before = Some(c).filter(|_| plain && !in_class);
            }
        }
    }
    None
}
