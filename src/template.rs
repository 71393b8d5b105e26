//! The claim-template language: a small part of Go's `text/template`, parsed once, at start.
//!
//! ```text
//! ref                                              no braces: the text of claim "ref"
//! {{ .url }}/{{ .repository }}                     literal text and claims, which must be there
//! {{ index . "oidc.circleci.com/vcs-ref" }}        a claim that may be absent: then empty
//! refs/{{if eq .ref_type "branch" "trunk"}}heads{{else}}tags{{end}}/{{.ref}}
//! {{ if eq (index . "ssh-rerun") "true" }}rerun{{ end }}
//! ```
//!
//! Everything else of `text/template` (pipelines, variables, `range`, functions, trim markers) is
//! refused when the configuration is read, with the column and the construct.

use std::borrow::Cow;

mod parser;

/// How long a rendered text may be, in octets.
pub const MAX_RENDERED: usize = 8 * 1024;

/// A parsed template, or the name of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Value(Operand),
    If { left: Operand, rights: Vec<Operand>, then: Vec<Segment>, otherwise: Vec<Segment> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Text(String),
    /// `.name`: an absent claim is an error.
    Field(String),
    /// `index . "name"`: an absent claim is empty.
    Index(String),
}

/// Why text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct TemplateError {
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What stands there that cannot be used.
    pub reason: String,
}

/// Why a template yields no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError<E> {
    /// The named claim is absent, and the template needs it.
    Missing(String),
    /// The text would be longer than [`MAX_RENDERED`].
    TooLong,
    /// The lookup failed.
    Lookup(E),
}

/// Yields a claim's text: none when there is no such claim.
pub type Lookup<'l, 'a, E> = dyn FnMut(&str) -> Result<Option<Cow<'a, str>>, E> + 'l;

impl Template {
    /// Parses a template; text without `{{` is the name of a claim, exactly as written.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] says where and which construct.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parser::parse(text).map(Self)
    }

    /// Renders the template with claims from `lookup`.
    ///
    /// # Errors
    ///
    /// [`RenderError::Missing`] names the claim that is absent; [`RenderError::TooLong`] past
    /// [`MAX_RENDERED`].
    pub fn render<'a, E>(&self, lookup: &mut Lookup<'_, 'a, E>) -> Result<String, RenderError<E>> {
        let mut text = String::new();
        render(&self.0, lookup, &mut text)?;
        Ok(text)
    }

    /// The claims that it may read, in the order in which they first stand in it.
    pub fn claims(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.0, &mut names);
        names
    }
}

fn render<'a, E>(
    segments: &[Segment],
    lookup: &mut Lookup<'_, 'a, E>,
    text: &mut String,
) -> Result<(), RenderError<E>> {
    for segment in segments {
        match segment {
            Segment::Value(operand) => {
                let value = operand.evaluate(lookup)?;
                if text.len() + value.len() > MAX_RENDERED {
                    return Err(RenderError::TooLong);
                }
                text.push_str(&value);
            }
            Segment::If { left, rights, then, otherwise } => {
                let equal = is_any(left, rights, lookup)?;
                render(if equal { then } else { otherwise }, lookup, text)?;
            }
        }
    }
    Ok(())
}

fn is_any<'a, E>(
    left: &Operand,
    rights: &[Operand],
    lookup: &mut Lookup<'_, 'a, E>,
) -> Result<bool, RenderError<E>> {
    let left = left.evaluate(lookup)?;
    let mut equal = false;
    // All are evaluated, so that an absent claim is an error wherever it stands.
    for right in rights {
        equal |= right.evaluate(lookup)? == left;
    }
    Ok(equal)
}

fn collect<'t>(segments: &'t [Segment], names: &mut Vec<&'t str>) {
    let mut add = |operand: &'t Operand| match operand {
        Operand::Field(name) | Operand::Index(name) if !names.contains(&name.as_str()) => {
            names.push(name);
        }
        Operand::Text(_) | Operand::Field(_) | Operand::Index(_) => {}
    };
    for segment in segments {
        match segment {
            Segment::Value(operand) => add(operand),
            Segment::If { left, rights, .. } => {
                std::iter::once(left).chain(rights).for_each(&mut add)
            }
        }
    }
    for segment in segments {
        if let Segment::If { then, otherwise, .. } = segment {
            collect(then, names);
            collect(otherwise, names);
        }
    }
}

impl Operand {
    fn evaluate<'s, 'a: 's, E>(
        &'s self,
        lookup: &mut Lookup<'_, 'a, E>,
    ) -> Result<Cow<'s, str>, RenderError<E>> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text)),
            Self::Field(name) => lookup(name)
                .map_err(RenderError::Lookup)?
                .ok_or_else(|| RenderError::Missing(name.clone())),
            Self::Index(name) => Ok(lookup(name).map_err(RenderError::Lookup)?.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLAIMS: [(&str, &str); 6] = [
        ("url", "https://ci.example"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("empty", ""),
        ("a/b.c-d", "slashed"),
        ("x y", "{{ .ref }}"),
    ];

    fn render(template: &str) -> Result<String, String> {
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        let mut lookup = |name: &str| {
            let found = CLAIMS.iter().find(|(claim, _)| *claim == name);
            Ok::<_, ()>(found.map(|(_, value)| Cow::Borrowed(*value)))
        };
        template.render(&mut lookup).map_err(|error| format!("{error:?}"))
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        assert_eq!(render(template).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn missing(template: &str, claim: &str) {
        assert_eq!(render(template), Err(format!("Missing({claim:?})")));
    }

    #[track_caller]
    fn refuse(template: &str, column: usize, construct: &str) {
        let error = Template::parse(template).unwrap_err();
        assert_eq!(error.column, column, "{error}");
        assert!(error.reason.contains(construct), "{error}");
    }

    #[test]
    fn text_without_braces_names_a_claim_exactly() {
        check("ref", "main");
        check("a/b.c-d", "slashed");
        check("x y", "{{ .ref }}");
        check("empty", "");
        missing(" ref", " ref");
        missing("https://ci.example", "https://ci.example");
        missing("}}", "}}");
    }

    #[test]
    fn fields_and_literals() {
        check("{{ .url }}/{{.ref}}", "https://ci.example/main");
        check("{{\n.url\t}}", "https://ci.example");
        check("a }} b {{ .ref }} }} {", "a }} b main }} {");
        check("{{ \"ref\" }}", "ref");
        check(r#"{{ "a \"b\" \\" }}"#, r#"a "b" \"#);
        check("{{ (.ref) }}{{((.ref))}}", "mainmain");
        check("[{{ .empty }}]", "[]");
        missing("{{ .nope }}", "nope");
    }

    #[test]
    fn an_absent_claim_is_empty_by_index_only() {
        check(r#"{{ index . "a/b.c-d" }}"#, "slashed");
        check(r#"{{(index . "a/b.c-d")}}"#, "slashed");
        check(r#"[{{ index . "nope" }}]"#, "[]");
        check(r#"[{{ index . "" }}]"#, "[]");
        missing("{{ if eq .nope \"x\" }}{{ end }}", "nope");
        missing("{{ if eq .ref \"main\" .nope }}{{ end }}", "nope");
    }

    #[test]
    fn conditions() {
        let of =
            |kind: &str| format!("{{{{if eq .ref_type \"{kind}\"}}}}h{{{{ else }}}}t{{{{end}}}}");
        check(&of("branch"), "h");
        check(&of("tag"), "t");
        check(&of(""), "t");
        check(r#"{{ if eq .ref_type "tag" "branch" }}any{{ end }}"#, "any");
        check(r#"{{ if (eq .ref "main") }}yes{{ end }}!"#, "yes!");
        check(r#"{{ if eq .ref "dev" }}yes{{ end }}!"#, "!");
        check(r#"{{ if eq (index . "nope") "true" }}a{{ else }}""{{ end }}"#, "\"\"");
        check(
            r#"{{ if eq .ref "main" }}{{ if eq .url "x" }}1{{ else }}2{{ end }}{{ else }}3{{ end }}"#,
            "2",
        );
        // Only the branch that is taken is rendered.
        check(r#"{{ if eq .ref "dev" }}{{ .nope }}{{ end }}"#, "");
    }

    #[test]
    fn a_claim_is_never_read_as_a_template() {
        check(r#"{{ index . "x y" }}"#, "{{ .ref }}");
    }

    #[test]
    fn everything_else_is_refused_with_its_column() {
        refuse("", 1, "empty");
        refuse("  ", 1, "empty");
        refuse("a{{", 4, "no closing");
        refuse("a{{ .b", 7, "no closing");
        refuse("{{}}", 3, "missing");
        refuse("{{ . }}", 4, "`.` alone");
        refuse("{{ .a.b }}", 4, "inside claims");
        refuse("{{ .a-b }}", 4, "index");
        refuse("{{ .a | html }}", 7, "pipelines");
        refuse("{{ $x := .a }}", 4, "variables");
        refuse("{{- .a }}", 3, "trim");
        refuse("{{ .a -}}", 7, "trim");
        refuse("{{/* no */}}", 3, "comments");
        refuse("{{ 1 }}", 4, "numbers");
        refuse("{{ `a` }}", 4, "double quotes");
        refuse("ä{{ range .a }}{{ end }}", 5, "\"range\"");
        refuse("{{ with .a }}{{ end }}", 4, "\"with\"");
        refuse("{{ define \"x\" }}", 4, "\"define\"");
        refuse("{{ printf \"%s\" .a }}", 4, "\"printf\"");
        refuse("{{ len .a }}", 4, "\"len\"");
        refuse("{{ eq .a \"b\" }}", 4, "`eq` cannot stand here");
        refuse("{{ if .a }}{{ end }}", 7, "compares with `eq`");
        refuse("{{ if eq .a }}{{ end }}", 13, "two values");
        refuse("{{ if eq . \"a\" }}{{ end }}", 10, "`.` alone");
        refuse("{{ if eq .a \"b\" }}", 1, "no `end`");
        refuse("{{ if eq .a \"b\" }}{{ else }}", 1, "no `end`");
        refuse("{{ if eq .a \"b\" }}{{ else }}{{ else }}{{ end }}", 29, "one `else`");
        refuse("{{ if eq .a \"b\" }}{{ else if eq .a \"c\" }}{{ end }}", 27, "`else if`");
        refuse("x{{ end }}", 2, "no `if`");
        refuse("x{{ else }}", 2, "no `if`");
        refuse("{{ index .a \"b\" }}", 4, "written");
        refuse("{{ index . .a }}", 4, "written");
        refuse("{{ index . \"a }}", 12, "closing quote");
        refuse(r#"{{ "a\n" }}"#, 6, "escapes");
        refuse("{{ (.a }}", 8, "`)`");
        refuse("{{ .a .b }}", 7, "\".\" cannot stand here");
        refuse(&format!("{{{{ {}.a", "(".repeat(17)), 20, "nested");
        refuse(&"{{ if eq .a \"b\" }}".repeat(17), 292, "nested");
        refuse(&"x".repeat(8 * 1024 + 1), 1, "8 KiB");
    }

    #[test]
    fn it_says_which_claims_it_reads() {
        let template =
            r#"{{ .b }}{{ if eq .c "x" .b }}{{ index . "d/e" }}{{ else }}{{ .f }}{{ end }}"#;
        assert_eq!(Template::parse(template).unwrap().claims(), ["b", "c", "d/e", "f"]);
        assert_eq!(Template::parse("ref").unwrap().claims(), ["ref"]);
    }

    #[test]
    fn a_rendered_text_is_bounded() {
        let long = "x".repeat(MAX_RENDERED);
        let mut lookup = |_: &str| Ok::<_, ()>(Some(Cow::Borrowed(long.as_str())));
        let once = Template::parse("{{ .a }}").unwrap();
        let twice = Template::parse("{{ .a }}{{ .a }}").unwrap();
        assert_eq!(once.render(&mut lookup).map(|text| text.len()), Ok(MAX_RENDERED));
        assert_eq!(twice.render(&mut lookup), Err(RenderError::TooLong));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = render(&text);
        }

        #[test]
        fn parsing_pieces_of_the_language_never_panics(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{{", "}}", " if ", " eq ", "else", "end", " index ", ".", "(", ")", "\"", "a",
                    "ä", "\\", " . ", ".a", "\"x\"", "\n",
                ]),
                0..40,
            )
        ) {
            let _ = render(&pieces.concat());
        }

        #[test]
        fn literal_text_comes_out_as_it_went_in(text in "[^{]{0,50}") {
            prop_assert_eq!(render(&format!("{text}{{{{.ref}}}}")), Ok(format!("{text}main")));
        }
    }
}
