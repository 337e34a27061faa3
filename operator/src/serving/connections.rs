//! The connections that are open, and which of them makes place for one more.
//!
//! An API server is never silent for long while it has something to ask, so where there are too many the one that has
//! been silent longest is closed: whoever opens connections and says nothing does not keep it out.
//!
//! *Never:* sockets, what is said over a connection.

use std::future::Future;

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: Vec<Open>,
    most: usize,
}

/// Whether a connection has a request in hand, for that connection to say. Clones are of the same one.
#[derive(Clone, Debug)]
pub(super) struct Activity(watch::Sender<Doing>);

#[derive(Debug)]
struct Open {
    task: AbortHandle,
    doing: watch::Receiver<Doing>,
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    SilentSince(Instant),
    Answering,
}

/// What became of one connection more than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// One that was silent was closed for it.
    OneMadePlace,
    /// All others are being answered.
    Refused,
}

// === impl Connections ===

impl Connections {
    pub(super) fn at_most(most: usize) -> Self {
        Self { tasks: JoinSet::new(), open: Vec::new(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Begins one more.
    ///
    /// # Errors
    /// When there were too many, what became of it.
    pub(super) fn begin<F>(&mut self, connection: impl FnOnce(Activity) -> F) -> Result<(), Crowded>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.forget_ended();
        let is_crowded = self.most <= self.open.len();
        if is_crowded {
            let silent = self.longest_silent().ok_or(Crowded::Refused)?;
            self.open.swap_remove(silent).task.abort();
        }
        let (doing, receiver) = watch::channel(Doing::SilentSince(Instant::now()));
        let task = self.tasks.spawn(connection(Activity(doing)));
        self.open.push(Open { task, doing: receiver });
        if is_crowded { Err(Crowded::OneMadePlace) } else { Ok(()) }
    }

    /// Returns when one has ended; at once where there is none.
    ///
    /// # Cancel safety
    /// It is.
    pub(super) async fn one_ended(&mut self) {
        self.tasks.join_next().await;
        self.forget_ended();
    }

    fn forget_ended(&mut self) {
        self.open.retain(|open| !open.task.is_finished());
    }

    fn longest_silent(&self) -> Option<usize> {
        let silent = self.open.iter().enumerate().filter_map(|(place, open)| match *open.doing.borrow() {
            Doing::SilentSince(since) => Some((since, place)),
            Doing::Answering => None,
        });
        silent.min().map(|(_, place)| place)
    }
}

// === impl Activity ===

impl Activity {
    /// A request has come.
    pub(super) fn begins(&self) {
        self.0.send_replace(Doing::Answering);
    }

    /// It is answered.
    pub(super) fn ends(&self) {
        self.0.send_replace(Doing::SilentSince(Instant::now()));
    }

    #[cfg(test)]
    pub(super) fn of_nobody() -> Self {
        Self(watch::Sender::new(Doing::Answering))
    }
}
