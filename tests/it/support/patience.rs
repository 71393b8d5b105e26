//! Waiting that has an end: what does not come fails the test, which says what it was.

use std::time::Duration;

/// How long anything may take that should come soon.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of `future`.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Spins until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let spin = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    soon(what, spin).await;
}
