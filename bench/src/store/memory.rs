//! What is resident when much is stored.

use everjet_conformance::ServerProcess;

use super::data::Data;
use super::ready;
use super::site::Site;
use crate::figure::Figure;
use crate::machine::settled_memory;
use crate::outcome::Outcome;

const MIB: f64 = 1_048_576.0;

/// 10 M messages on 1 M subjects, in MiB.
pub(crate) fn messages(site: &mut Site<'_>) -> Outcome {
    let (loaded, restarted) = loaded_and_restarted(site, Data::Distinct);
    Outcome::default()
        .with(Figure::Loaded, loaded / MIB)
        .with(Figure::Restarted, restarted / MIB)
}

/// What each key of a bucket adds to an empty server, in bytes.
pub(crate) fn keys(site: &mut Site<'_>) -> Outcome {
    let empty = site.empty_bytes() as f64;
    let (loaded, restarted) = loaded_and_restarted(site, Data::Bucket);
    let keys = site.set(Data::Bucket).subjects as f64;
    Outcome::default()
        .with(Figure::KeyLoaded, (loaded - empty) / keys)
        .with(Figure::KeyRestarted, (restarted - empty) / keys)
}

/// Resident bytes right after loading, and after a clean stop and a start.
fn loaded_and_restarted(site: &mut Site<'_>, data: Data) -> (f64, f64) {
    let mut server = site.load(data);
    let loaded = settled(&server);
    server.terminate();
    server.spawn_again();
    ready::wait_until_answering(&server, &site.set(data));
    let restarted = settled(&server);
    site.keep(data, server);
    (loaded as f64, restarted as f64)
}

/// Resident bytes of a server when they no longer change.
pub(crate) fn settled(server: &ServerProcess) -> u64 {
    settled_memory(server.pid().expect("the server is running"))
}
