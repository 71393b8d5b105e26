//! Text as a YAML scalar that reads as that text again.

/// Words that YAML 1.1 or 1.2 takes for something else than text.
const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// Plain where that is safe; else in the quotes that need fewer escapes.
pub(super) fn scalar(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(fits)
        && !text.ends_with(':');
    if is_plain && !is_word {
        return text.to_owned();
    }
    // Quirk: where an anchor could stand, the reader of configurations takes `&` for one in quotes, too.
    let is_anchor = |text: &str| text.ends_with([' ', '\t', '[', '{', ',', ':']);
    let has_anchor = text.match_indices('&').any(|(at, _)| text.get(..at).is_some_and(is_anchor));
    if text.contains(['"', '\\']) && !has_anchor && text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '&' if has_anchor => quoted.push_str("\\x26"),
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_printable(c) => quoted.push(c),
            c => quoted += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    quoted + "\""
}

/// Whether YAML takes the character as it is; line breaks of Unicode's are none of these.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, written: &str) {
        assert_eq!(scalar(text), written);
    }

    #[test]
    fn text_is_quoted_where_it_must_be() {
        check("https://gitlab.example.com", "https://gitlab.example.com");
        check("sigstore", "sigstore");
        check("a:", "\"a:\"");
        check("", "\"\"");
        check("true", "\"true\"");
        check("9919", "\"9919\"");
        check("https://a/*", "\"https://a/*\"");
        check("{{ .url }}/{{ .ref }}", "\"{{ .url }}/{{ .ref }}\"");
        check("{{ index . \"it's\" }}", "'{{ index . \"it''s\" }}'");
        check("https://a/?b&c", "\"https://a/?b&c\"");
        check("[&a \"&b\"]", "\"[\\x26a \\\"\\x26b\\\"]\"");
        check("a\nb", "\"a\\U0000000ab\"");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(text in ".*") {
            let read: yaml_serde::Value = yaml_serde::from_str(&scalar(&text)).unwrap();
            proptest::prop_assert_eq!(read.as_str(), Some(text.as_str()));
            let key: yaml_serde::Value =
                yaml_serde::from_str(&format!("{}: 1", scalar(&text))).unwrap();
            let key = key.as_mapping().unwrap().keys().next().unwrap().as_str().map(str::to_owned);
            proptest::prop_assert_eq!(key, Some(text));
        }
    }
}
