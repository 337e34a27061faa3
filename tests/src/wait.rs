//! Waiting for a condition with a limit and a message; the only place that sleeps.
//!
//! *Never:* what is waited for.

use std::{
    future::Future,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

/// How often a condition is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Asks until there is an answer. An error counts as no answer; the last one is told when the time is over.
///
/// # Errors
/// When the limit passes without an answer.
pub async fn until<T, F, A>(what: &str, limit: Duration, mut ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<Option<T>>>,
{
    let end = tokio::time::Instant::now() + limit;
    loop {
        let answer = ask().await;
        if let Ok(Some(answer)) = answer {
            return Ok(answer);
        }
        if end <= tokio::time::Instant::now() {
            let late = anyhow!("waited {limit:?} for {what}");
            return match answer {
                Ok(_) => Err(late),
                Err(error) => Err(error).context(late),
            };
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Asserts that something stays true for a while: the test of an absence.
///
/// # Errors
/// As soon as `holds` fails.
pub async fn throughout<F, A>(time: Duration, mut holds: F) -> anyhow::Result<()>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<()>>,
{
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        holds().await?;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    holds().await
}

/// Gives an answer some time to come: the API server waits for minutes for a pod that is gone.
///
/// # Errors
/// Those of the question, or that there was no answer.
pub async fn answer<T, E>(limit: Duration, question: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    tokio::time::timeout(limit, question).await.map_err(|_| anyhow!("no answer within {limit:?}"))?.map_err(Into::into)
}

/// The same as [`until`] where there is no runtime.
///
/// # Errors
/// When the limit passes without an answer, or at once when `ask` fails.
#[expect(clippy::disallowed_methods, reason = "no runtime here, and so no clock that could be paused")]
pub fn blocking<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if limit <= start.elapsed() {
            return Err(anyhow!("waited {limit:?} for {what}"));
        }
        thread::sleep(BETWEEN_LOOKS / 4);
    }
}

/// A pause before something is tried again, in a thread of its own.
pub(crate) fn before_another_try() {
    thread::sleep(BETWEEN_LOOKS * 5);
}
