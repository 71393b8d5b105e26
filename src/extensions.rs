//! SEAM: the table of 1.3.6.1.4.1.57264.1.*: (arc, names, encoding), one row each; spec/fulcio.md §4.1, §3.4

/// How extnValue holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding { /// the text's own octets
    Raw, /// a DER UTF8String
    Utf8 }
/// One extension of Fulcio's arc.
#[derive(Debug, PartialEq, Eq)]
pub struct Row { /// last arc
    pub arc: u8, /// kebab-case name, as in Fulcio's YAML (`source-repository-uri`)
    pub name: &'static str, /// PascalCase name of Fulcio's JSON (`SourceRepositoryURI`)
    pub json: &'static str, pub encoding: Encoding }
/// Ascending by arc: .1–.6, .8–.24 (.7 is no extension).
pub const TABLE: [Row; 23] = todo_table();
const fn todo_table() -> [Row; 23] { [const { Row { arc: 0, name: "", json: "", encoding: Encoding::Raw } }; 23] }
/// An index into TABLE that is known to be in it: `Extension::named("issuer")`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extension(u8);
// Extension::{row(), arc(), named(kebab) -> Option, ALL iterator, oid() -> der bytes of the whole OID}
/// The extensions of one certificate: at most one value for each row, never empty text, in table order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions { /* Vec<(Extension, String)> sorted */ }
impl Extensions {
    /// Sets a value; empty text leaves the extension out.
    pub fn set(&mut self, _extension: Extension, _value: String) { todo!() }
    pub fn get(&self, _extension: Extension) -> Option<&str> { todo!() }
    pub fn iter(&self) -> impl Iterator<Item = (Extension, &str)> { std::iter::empty() }
}
