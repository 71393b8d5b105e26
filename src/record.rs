//! SEAM: one attempt as a flat, searchable record (product.md §5); JSON by serde
use serde::{Deserialize, Serialize};
use crate::certificate::Serial;
use crate::policy::Grant;
use crate::time::Timestamp;

/// Who sent a request, as far as the shell knows.
#[derive(Clone, Debug, Default)]
pub struct Caller { /// request id, also in the answer
    pub request_id: String, pub client: Option<std::net::IpAddr> }

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record { /* time, request_id, client, issuer, kind, san, extensions by kebab name, rule, serial, key (fingerprint hex), index … */ }
impl Record { pub fn issued(_caller: &Caller, _grant: &Grant, _serial: Serial, _now: Timestamp) -> Self { todo!() } }
