//! Rows computed with Go 1.26 `net/url`, and the property that they must have: no two texts, one URL.

use std::collections::HashMap;

use super::*;

const BASE: &str = "https://h.example";

/// `tail` behind the base, as `url.Parse(base + tail).String()` writes it.
#[track_caller]
fn check(tail: &str, expected: Result<&str, UrlError>) {
    let expected = expected.map(|tail| format!("{BASE}{tail}"));
    assert_eq!(whole(&format!("{BASE}{tail}")), expected, "{tail}");
}

/// `tail` behind the base, as `base.JoinPath(tail).String()` writes it.
#[track_caller]
fn check_joined(tail: &str, expected: Result<&str, UrlError>) {
    let expected = expected.map(|tail| format!("{BASE}{tail}"));
    assert_eq!(joined(&format!("{BASE}{tail}")), expected, "{tail}");
}

#[test]
fn paths_as_go_writes_them() {
    for kept in [
        "",
        "/a[1]",
        "/%c3%a4",
        "/%41",
        "/%2F",
        "/%3F",
        "/%23",
        "/a!b'(c)*",
        "/a;b,c=d&e$f+g@h:i",
        "//x//y",
        "/a/../b",
        "/~a-b_c.d",
        "/%FF",
        "/%E4",
        "/a%25b",
        "/a%20b%41",
    ] {
        check(kept, Ok(kept));
    }
    check("/o/r/a b", Ok("/o/r/a%20b"));
    check("/a[1] b", Ok("/a%5B1%5D%20b"));
    check("/{x}|y", Ok("/%7Bx%7D%7Cy"));
    check("/ä", Ok("/%C3%A4"));
    check("/🚀", Ok("/%F0%9F%9A%80"));
    check("/\u{a0}", Ok("/%C2%A0"));
    check("/a!b'(c)* d", Ok("/a%21b%27%28c%29%2A%20d"));
    check("/a\"b<c>\\^`", Ok("/a%22b%3Cc%3E%5C%5E%60"));
}

#[test]
fn queries_and_fragments_as_go_writes_them() {
    for kept in [
        "/what?x=1",
        "/what?x=a b",
        "/what?",
        "/what??",
        "/main#a",
        "/main#a'",
        "/main?#a",
        "?x",
        "#f",
        "/main#%41",
        "/main#?",
        "/main#[a]",
        "/main?%zz",
    ] {
        check(kept, Ok(kept));
    }
    check("/main#a b", Ok("/main#a%20b"));
    check("/main#ä'", Ok("/main#%C3%A4%27"));
    check("/main#a#b", Ok("/main#a%23b"));
    check("/main#[a] b", Ok("/main#%5Ba%5D%20b"));
}

#[test]
fn what_go_would_fold_into_a_plainer_text_is_refused() {
    for tail in [
        "/o/r/a%20b",
        "/%C3%A4",
        "/%41 b",
        "/a%3Fb c",
        "/main#",
        "/main?#",
        "/main#a%20b",
        "/a%5B1%5D%20b",
        "#",
    ] {
        check(tail, Err(UrlError::Shared));
    }
}

#[test]
fn what_no_certificate_holds_is_refused() {
    check("/%zz", Err(UrlError::Escape));
    check("/%", Err(UrlError::Escape));
    check("/%4", Err(UrlError::Escape));
    check("/main#%zz", Err(UrlError::Escape));
    check("/what?x=ä", Err(UrlError::NotAscii));
    check("/a\nb", Err(UrlError::Control));
    check("/a\u{85}b", Err(UrlError::Control));
    check("/a#\0", Err(UrlError::Control));
}

#[test]
fn schemes_and_hosts() {
    let check = |text: &str, expected: Result<&str, UrlError>| {
        assert_eq!(whole(text), expected.map(str::to_owned), "{text}");
    };
    check("http://127.0.0.1:80/a", Ok("http://127.0.0.1:80/a"));
    check("https://[::1]:80/a", Ok("https://[::1]:80/a"));
    check("repo:acme/app:ref", Ok("repo:acme/app:ref"));
    check("repo:ä", Err(UrlError::NotAscii));
    check("repo:", Err(UrlError::Host));
    check("", Err(UrlError::Scheme));
    check("a b", Err(UrlError::Scheme));
    check("/a:b", Err(UrlError::Scheme));
    check("HTTPS://a/b", Err(UrlError::Scheme));
    check("1a://b", Err(UrlError::Scheme));
    check("https:/a", Err(UrlError::Host));
    check("https:///a", Err(UrlError::Host));
    check("https://u@a/b", Err(UrlError::Host));
    check("https://a:/b", Err(UrlError::Host));
    check("https://a:b/c", Err(UrlError::Host));
    check("https://a b/c", Err(UrlError::Host));
    check("https://ä/c", Err(UrlError::Host));
    check("https://a%20/c", Err(UrlError::Host));
    check("https://[::1/c", Err(UrlError::Host));
    check("https://[::1]a/c", Err(UrlError::Host));
}

#[test]
fn joined_paths_as_go_writes_them() {
    for kept in ["", "/a/", "/a[1]", "/%41", "/%2F", "/a!b'(c)*", "/a%25b", "/a/b:c@d"] {
        check_joined(kept, Ok(kept));
    }
    check_joined("/a b", Ok("/a%20b"));
    check_joined("/what?x=1", Ok("/what%3Fx=1"));
    check_joined("/main#", Ok("/main%23"));
    check_joined("/main#a'", Ok("/main%23a%27"));
    check_joined("/main?#a", Ok("/main%3F%23a"));
    check_joined("/a!b'(c)* d", Ok("/a%21b%27%28c%29%2A%20d"));
}

#[test]
fn what_go_would_clean_or_fold_is_refused_in_joined_paths() {
    check_joined("/a%20b", Err(UrlError::Shared));
    check_joined("/%3F", Err(UrlError::Shared));
    check_joined("/%23", Err(UrlError::Shared));
    check_joined("/main#%41", Err(UrlError::Shared));
    check_joined("//a", Err(UrlError::Unclean));
    check_joined("/a//b", Err(UrlError::Unclean));
    check_joined("/a//", Err(UrlError::Unclean));
    check_joined("/", Err(UrlError::Unclean));
    check_joined("//", Err(UrlError::Unclean));
    check_joined("/a/../b", Err(UrlError::Unclean));
    check_joined("/a/.", Err(UrlError::Unclean));
    check_joined("/..", Err(UrlError::Unclean));
    check_joined("/%zz", Err(UrlError::Escape));
    check_joined("/a\nb", Err(UrlError::Control));
}

/// Every text of up to four of these pieces.
fn texts() -> Vec<String> {
    const PIECES: [&str; 16] = [
        "a", "A", " ", "%20", "%41", "%61", "[", "%5B", "#", "%23", "?", "%3F", "ä", "%C3%A4", "'",
        "/",
    ];
    let mut texts = vec![String::new()];
    let mut last = texts.clone();
    for _ in 0..4 {
        last = last.iter().flat_map(|text| PIECES.map(|piece| format!("{text}{piece}"))).collect();
        texts.extend_from_slice(&last);
    }
    texts
}

#[track_caller]
fn check_injective(write: fn(&str) -> Result<String, UrlError>) {
    let mut seen: HashMap<String, String> = HashMap::new();
    for text in texts() {
        let text = format!("{BASE}/{text}");
        let Ok(url) = write(&text) else { continue };
        if let Some(other) = seen.insert(url.clone(), text.clone()) {
            panic!("{text} and {other} share {url}");
        }
    }
    assert!(seen.len() > 10_000);
}

#[test]
fn no_two_texts_share_a_url() {
    check_injective(whole);
}

#[test]
fn no_two_joined_texts_share_a_url() {
    check_injective(joined);
}

#[test]
fn a_text_without_escapes_always_has_its_url() {
    for text in texts().iter().filter(|text| !text.contains(['%', '#', '?', '/'])) {
        assert!(whole(&format!("{BASE}/{text}")).is_ok(), "{text}");
    }
}
