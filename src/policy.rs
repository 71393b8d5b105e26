//! SEAM: the one decision: may this identity have a certificate? product.md §2 (allow, deny, patterns)

use crate::identity::Identity;
use crate::possession::ProvenKey;
use crate::token::Claims;

/// The rules of every issuer, by IssuerId.
#[derive(Clone, Debug, Default)]
pub struct Policy { }
impl Policy {
    pub fn new(_rules: Vec<Rules>) -> Self { todo!() }   // one per issuer, in IssuerId order
    pub fn grant(&self, _claims: &Claims, _identity: Identity, _key: ProvenKey) -> Result<Grant, PolicyError> { todo!() }
}
/// An issuer's rules.
#[derive(Clone, Debug)]
pub struct Rules { pub allow: Allow, pub deny: Vec<Rule> }
#[derive(Clone, Debug)]
pub enum Allow { Anybody, Rules(Vec<Rule>) }
/// all conditions must hold
#[derive(Clone, Debug)]
pub struct Rule { pub name: Option<String>, pub why: Option<String>, pub conditions: Vec<(ClaimSelector, Pattern)> }
/// a claim by name, or `/a/b` JSON Pointer (RFC 6901)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSelector(pub String);
/// text compared whole, `*` any run of characters; list = any of; numbers and booleans as their JSON text. (`not`, `regex` follow)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern { Text(String), Any(Vec<Pattern>) }
/// Policy's yes.
#[derive(Clone, Debug)]
pub struct Grant { }
impl Grant { pub fn identity(&self) -> &Identity { todo!() } pub fn key(&self) -> &ProvenKey { todo!() }
  /// the rule that allowed it; None: anybody
  pub fn rule(&self) -> Option<&str> { todo!() } }
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError { #[error("…")] DeniedByRule }
