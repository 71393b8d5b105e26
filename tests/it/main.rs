//! The one integration-test binary: one module a file, real servers, no sleeps.

mod support;

mod tidy;
mod config;
mod keyset;
mod live;
mod records;
mod reload;
mod attempts;
mod possession;
mod golden;
mod bites;
mod presets;
mod log;
mod readers;
mod shards;
mod rotate;
mod first_start;
mod kill;
mod faults;
mod hostile;
mod signers;
mod http;
mod vectors;
mod explain;
mod commands;
mod moving;
mod upkeep;
mod witness;
mod clients;
mod tuf;
mod verify;
