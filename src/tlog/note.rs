//! SEAM
// signed notes (C2SP signed-note), checkpoints (tlog-checkpoint): formats only; signing happens in the shell.
use super::merkle::Hash;

/// Text of a checkpoint: origin, size, root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint { pub origin: String, pub size: u64, pub root: Hash }
// Display = the note text (three lines, each with \n); parse(&str) -> Result<Checkpoint, NoteError>

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature { pub name: String, pub key_id: [u8; 4], pub signature: Vec<u8> }
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote { pub text: String, pub signatures: Vec<NoteSignature> }
// Display / parse

/// SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4]
pub fn key_id(_name: &str, _kind: u8, _key: &[u8]) -> [u8; 4] { todo!() }
/// the 50 bytes that an RFC 6962 tree head signature covers
pub fn tree_head(_timestamp: crate::time::Timestamp, _size: u64, _root: &Hash) -> [u8; 50] { todo!() }
/// the note signature of type 0x05 from a DigitallySigned: timestamp u64 ‖ DigitallySigned
pub fn rfc6962_signature(_origin: &str, _log_id: &[u8; 32], _timestamp: crate::time::Timestamp, _signed: &[u8]) -> NoteSignature { todo!() }
