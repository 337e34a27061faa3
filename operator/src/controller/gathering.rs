//! Wakes that may wait a moment, gathered: pods come and go in crowds, and one look at a group does for all of them.
//!
//! *Never:* what a wake is for, and which may wait.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use crds::PushGroup;
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use kube::runtime::reflector::ObjectRef;
use tokio::time::{Instant, sleep_until};

/// How long a wake waits for others of its group.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Something happened to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// It is to be looked at at once.
    Now(ObjectRef<PushGroup>),
    /// It may wait a moment.
    Soon(ObjectRef<PushGroup>),
}

struct Gathering {
    wakes: BoxStream<'static, Wake>,
    is_over: bool,
    /// Who waits until when, the first in front: all wait equally long.
    row: VecDeque<(Instant, ObjectRef<PushGroup>)>,
    waiting: HashSet<ObjectRef<PushGroup>>,
}

/// Each group that is woken: at once, or once for all that happened to it within a moment.
pub(super) fn gathered(
    wakes: impl Stream<Item = Wake> + Send + 'static,
) -> impl Stream<Item = ObjectRef<PushGroup>> + Send + 'static {
    let gathering = Gathering { wakes: wakes.boxed(), is_over: false, row: VecDeque::new(), waiting: HashSet::new() };
    stream::unfold(gathering, |mut gathering| async move {
        let group = gathering.next().await?;
        Some((group, gathering))
    })
}

// === impl Gathering ===

impl Gathering {
    async fn next(&mut self) -> Option<ObjectRef<PushGroup>> {
        loop {
            let first = self.row.front().map(|(until, _)| *until);
            if self.is_over && first.is_none() {
                return None;
            }
            let waited = async {
                match first {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = waited => {
                    let (_, group) = self.row.pop_front()?;
                    self.waiting.remove(&group);
                    return Some(group);
                }
                wake = self.wakes.next(), if !self.is_over => match wake {
                    Some(Wake::Now(group)) => return Some(group),
                    Some(Wake::Soon(group)) => {
                        if self.waiting.insert(group.clone()) {
                            self.row.push_back((Instant::now() + A_MOMENT, group));
                        }
                    }
                    None => self.is_over = true,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;

    use super::*;

    fn group(name: &str) -> ObjectRef<PushGroup> {
        ObjectRef::new(name).within("data")
    }

    /// Whom these wake, and after how many milliseconds.
    async fn woken(wakes: impl IntoIterator<Item = Wake>) -> Vec<(String, u128)> {
        let start = Instant::now();
        let woken = gathered(stream::iter(wakes.into_iter().collect::<Vec<_>>()));
        woken.map(|group| (group.name, start.elapsed().as_millis())).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_to_a_group_within_a_moment_wakes_it_once() {
        let crowd = (0..300).map(|nth| Wake::Soon(group(if nth % 2 == 0 { "even" } else { "odd" })));
        let expected = [("even".to_owned(), 1000), ("odd".to_owned(), 1000)];
        assert_eq!(woken(crowd).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_presses_waits_for_nothing() {
        let wakes = [Wake::Soon(group("one")), Wake::Now(group("two")), Wake::Now(group("two"))];
        let expected = [("two".to_owned(), 0), ("two".to_owned(), 0), ("one".to_owned(), 1000)];
        assert_eq!(woken(wakes).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_for_those_that_come_meanwhile() {
        let (sender, wakes) = mpsc::unbounded();
        let mut woken = Box::pin(gathered(wakes));
        let start = Instant::now();
        let coming = async {
            for _ in 0..25 {
                sender.unbounded_send(Wake::Soon(group("one"))).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let mut times = Vec::new();
        tokio::select! {
            () = coming => {}
            () = async { while woken.next().await.is_some() { times.push(start.elapsed().as_millis()); } } => {}
        }
        assert_eq!(times.len(), 2, "{times:?}");
        assert!(times[0] <= 1001 && times[1] <= 2101, "{times:?}");
    }
}
