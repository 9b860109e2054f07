//! The ORDERS story with the built binaries `nats-server` and `nats`, as a newcomer types it.

mod errors;
mod files;
mod full_disk;
mod orders;
mod shell;
