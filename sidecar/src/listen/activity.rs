//! What a connection is waiting for, and until when it may.
//!
//! The stream, the service and the answer's body tell an [`Activity`] what happens; the connection asks a [`Patience`]
//! whether it has been waiting for too long. The clock is read at most once each time a connection wakes, and its one
//! timer is set anew only where it would come too late, so that a request costs no timer.
//!
//! *Never:* sockets, what is requested.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::ConnectionLimits;

/// What stands for "no limit" where a timer needs a moment.
const FAR_AWAY: Duration = Duration::from_hours(365 * 24);

/// What happens on one connection; shared by those who see it happen.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<State>);

/// What a connection waited for when it had waited for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The rest of a head.
    Head,
    /// A request, or its first byte.
    Request,
    /// Somebody to read the answer.
    Reader,
}

/// How long a connection still waits.
#[derive(Debug)]
pub(super) struct Patience {
    limits: ConnectionLimits,
    /// When the connection last got on.
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    phase: Phase,
    /// Whether it got on since somebody asked.
    has_moved: bool,
    /// Whether a body was left before its end.
    has_left_body: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing was sent on it.
    #[default]
    Silent,
    /// A head has begun.
    Head,
    /// A handler is at work; what it waits for has limits of its own.
    Handling,
    /// The answer is being written.
    Answering,
    /// The last of the answer is in the connection's buffer.
    Buffered,
    /// Between requests.
    Idle,
}

// === impl Awaited ===

impl Awaited {
    pub(crate) const ALL: [Self; 3] = [Self::Head, Self::Reader, Self::Request];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Reader => "reader",
            Self::Request => "request",
        }
    }
}

// === impl Activity ===

impl Activity {
    /// Bytes have come in.
    pub(super) fn read(&self) {
        // In other phases they are of a body, or of a request that waits for its turn.
        self.advance(|phase| matches!(phase, Phase::Silent | Phase::Idle).then_some(Phase::Head));
    }

    /// A head is complete.
    pub(super) fn requested(&self) {
        *self.lock() = State { phase: Phase::Handling, has_moved: true, has_left_body: false };
    }

    /// A body is left before its end.
    pub(super) fn left_body(&self) {
        self.lock().has_left_body = true;
    }

    /// Whether the peer may still be sending what nobody will read.
    pub(super) fn is_cut_short(&self) -> bool {
        let State { phase, has_left_body, .. } = *self.lock();
        has_left_body || phase == Phase::Head
    }

    /// There is an answer.
    pub(super) fn answered(&self) {
        self.advance(|_| Some(Phase::Answering));
    }

    /// The body of the answer is at its end.
    pub(super) fn buffered(&self) {
        self.advance(|phase| (phase == Phase::Answering).then_some(Phase::Buffered));
    }

    /// Bytes have gone out.
    pub(super) fn wrote(&self) {
        self.advance(|phase| matches!(phase, Phase::Answering | Phase::Buffered).then_some(phase));
    }

    /// The connection's buffer is empty.
    pub(super) fn flushed(&self) {
        self.advance(|phase| (phase == Phase::Buffered).then_some(Phase::Idle));
    }

    fn advance(&self, next: impl FnOnce(Phase) -> Option<Phase>) {
        let mut state = self.lock();
        if let Some(phase) = next(state.phase) {
            *state = State { phase, has_moved: true, ..*state };
        }
    }

    /// The phase, and whether it got on since the last call.
    fn look(&self) -> State {
        let mut state = self.lock();
        let seen = *state;
        state.has_moved = false;
        seen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Patience ===

impl Patience {
    /// Begins now.
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let since = Instant::now();
        let first = limits.header_time.unwrap_or(FAR_AWAY);
        Self { limits, since, timer: Box::pin(sleep_until(since + first)) }
    }

    /// Waits until the connection has waited for too long. To be polled after whatever tells the activity.
    pub(super) async fn ends(&mut self, activity: &Activity) -> Awaited {
        poll_fn(|cx| self.poll_end(activity, cx)).await
    }

    fn poll_end(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<Awaited> {
        loop {
            let State { phase, has_moved, .. } = activity.look();
            if has_moved {
                self.since = Instant::now();
            }
            let Some((waited, limit)) = self.limit(phase) else {
                return Poll::Pending;
            };
            let end = self.since + limit;
            if end < self.timer.deadline() {
                self.timer.as_mut().reset(end);
            }
            ready!(self.timer.as_mut().poll(cx));
            if end <= Instant::now() {
                return Poll::Ready(waited);
            }
            // It was set when less was known.
            self.timer.as_mut().reset(end);
        }
    }

    fn limit(&self, phase: Phase) -> Option<(Awaited, Duration)> {
        let ConnectionLimits { header_time, idle_time, .. } = self.limits;
        let (waited, limit) = match phase {
            Phase::Silent => (Awaited::Request, header_time),
            Phase::Head => (Awaited::Head, header_time),
            Phase::Handling => return None,
            Phase::Answering | Phase::Buffered => (Awaited::Reader, idle_time),
            Phase::Idle => (Awaited::Request, idle_time),
        };
        limit.map(|limit| (waited, limit.min(FAR_AWAY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(300);

    fn patience() -> Patience {
        Patience::new(ConnectionLimits {
            header_time: Some(HEADER),
            idle_time: Some(IDLE),
            ..ConnectionLimits::default()
        })
    }

    /// What it waited for and for how long.
    async fn end(patience: &mut Patience, activity: &Activity) -> (Awaited, Duration) {
        let started = Instant::now();
        let waited = patience.ends(activity).await;
        // Timers count in milliseconds.
        (waited, Duration::from_millis(started.elapsed().as_millis().try_into().unwrap()))
    }

    fn serve(activity: &Activity) {
        activity.read();
        activity.requested();
        activity.answered();
        activity.buffered();
        activity.wrote();
        activity.flushed();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_has_the_time_of_a_head() {
        assert_eq!(end(&mut patience(), &Activity::default()).await, (Awaited::Request, HEADER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_the_first_byte_on_however_many_come() {
        let (activity, mut patience) = (Activity::default(), patience());
        serve(&activity);
        activity.read();
        let drip = async {
            for _ in 0..3 {
                tokio::time::sleep(HEADER / 4).await;
                activity.read();
            }
        };
        let ((), ended) = tokio::join!(drip, end(&mut patience, &activity));
        assert_eq!(ended, (Awaited::Head, HEADER));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time_and_each_begins_it_anew() {
        let (activity, mut patience) = (Activity::default(), patience());
        serve(&activity);
        let waits = tokio::time::timeout(IDLE - HEADER, patience.ends(&activity)).await;
        assert!(waits.is_err());
        serve(&activity);
        assert_eq!(end(&mut patience, &activity).await, (Awaited::Request, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_no_end_and_a_reader_one_that_moves_with_what_it_takes() {
        let (activity, mut patience) = (Activity::default(), patience());
        activity.read();
        activity.requested();
        assert!(tokio::time::timeout(IDLE * 2, patience.ends(&activity)).await.is_err());
        activity.answered();
        assert!(tokio::time::timeout(IDLE - HEADER, patience.ends(&activity)).await.is_err());
        activity.wrote();
        // A request that comes early does not shorten it.
        activity.read();
        assert_eq!(end(&mut patience, &activity).await, (Awaited::Reader, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_it_waits_for_ever() {
        let mut patience = Patience::new(ConnectionLimits::NONE);
        let activity = Activity::default();
        assert!(tokio::time::timeout(FAR_AWAY * 2, patience.ends(&activity)).await.is_err());
        serve(&activity);
        assert!(tokio::time::timeout(FAR_AWAY * 2, patience.ends(&activity)).await.is_err());
    }
}
