//! SEAM: the claim-template language, parsed once at start; spec/fulcio.md §5.2

/// A parsed template, or the name of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template { }
impl Template {
    /// Text with `{{` is a template, other text a claim name (5.1.4).
    pub fn parse(_text: &str) -> Result<Self, TemplateError> { todo!() }
    /// Evaluates; `lookup` yields a claim's text; for a dotted or plain name a missing one is an error, for `index` it is empty.
    pub fn render<'a, E>(&self, _lookup: &mut dyn FnMut(&str) -> Result<Option<std::borrow::Cow<'a, str>>, E>) -> Result<String, RenderError<E>> { todo!() }
    /// the claims it may read
    pub fn claims(&self) -> Vec<&str> { todo!() }
}
/// Why text is not a template; column counted from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {reason}")]
pub struct TemplateError { pub column: usize, pub reason: String }
/// Why render failed
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError<E> { Missing(String), Lookup(E) }
