//! kill -9, again and again, under load: no certificate that a client holds is ever lost.

use mayfly::cli::client::Client;

use crate::faults::chance::Chance;
use crate::faults::instance::Instance;
use crate::support::process::Server;

const KILLS: u32 = 50;
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_holds_survives_fifty_kills() {
    let instance = Instance::new().await;
    let mut chance = Chance::new(0x6d61_7966_6c79);
    for _ in 0..KILLS {
        let mut server = instance.start();
        let client = Client::new(&server.url);
        instance.see(&client).await;
        let callers = instance.load(&server, CALLERS, usize::MAX);
        // It dies when one caller has its answer, and the others are somewhere in the middle.
        for _ in 0..=chance.below(5) {
            assert_eq!(instance.ask(&client).await, Some(200));
        }
        server.kill();
        callers.join_all().await;
    }
    let held = instance.judge().await;
    assert!(held > 200, "only {held} certificates: the load was no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_process_and_loses_nothing() {
    let instance = Instance::new().await;
    // Made with room, then served without.
    instance.start().kill();
    let mut server = Server::start_on_full_disk(1024, &instance.arguments()[1..]);
    instance.see(&Client::new(&server.url)).await;
    let callers = instance.load(&server, CALLERS, usize::MAX);
    let code = tokio::task::spawn_blocking(move || server.ended()).await.expect("it ends");
    assert_eq!(code, Some(1), "an error of the store ends the process");
    callers.join_all().await;
    let held = instance.judge().await;
    assert!(held > 0, "nothing was issued before the disk was full");
}
