//! Patience with what does not work yet: tries again with growing pauses, and tells the log why.
//!
//! *Never:* what is tried.

use std::{fmt, future::Future, time::Duration};

use crate::stop::Stop;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause: what heals is noticed within it.
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after so many failures in a row.
#[must_use]
pub fn pause(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST)
}

/// Tries until it works; `None` when the end is asked for before.
///
/// # Cancel safety
/// As safe as what is tried.
pub async fn until_it_works<T, E, F>(what: &'static str, stop: &Stop, mut attempt: impl FnMut() -> F) -> Option<T>
where
    E: fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut failures = 0;
    while !stop.is_requested() {
        match attempt().await {
            Ok(value) => return Some(value),
            Err(error) => {
                failures += 1;
                let pause = pause(failures);
                tracing::warn!(what, %error, again_in = ?pause, "did not work");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.clone().requested() => {}
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_until_it_works() {
        let (_sender, stop) = stop::channel();
        let mut tries = 0;
        let value = until_it_works("test", &stop, || {
            tries += 1;
            let result = if tries < 4 { Err("not yet") } else { Ok(tries) };
            async move { result }
        });
        assert_eq!(value.await, Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_stops_it() {
        let (sender, stop) = stop::channel();
        let never = until_it_works("test", &stop, || async { Err::<(), _>("never") });
        let (value, ()) = tokio::join!(never, async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            sender.request();
        });
        assert_eq!(value, None);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!([1, 2, 3, 6, 99].map(|failures| pause(failures).as_secs()), [1, 2, 4, 30, 30]);
    }
}
