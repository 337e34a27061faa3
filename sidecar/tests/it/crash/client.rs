//! One connection that pushes without a pause, until it breaks, and keeps in mind what was answered.

use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering},
        mpsc::Sender,
    },
};

use super::known::{Own, Push, Shared};
use crate::{connection::Connection, random::Random};

/// The families that pushes have.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Every push has a number of its own, which is the value of all its samples.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// Who pushes.
pub(super) struct Client {
    random: Random,
    /// Groups that nobody else pushes to, so that the order of pushes is known.
    pub(super) own: Vec<Own>,
}

/// What all clients of a round share.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) shared: &'a [Shared],
    /// How many pushes were answered.
    pub(super) answered: &'a AtomicU64,
    /// How many it takes for `enough` to be told.
    pub(super) wanted: u64,
    pub(super) enough: Sender<()>,
}

// === impl Client ===

impl Client {
    pub(super) fn new(number: u64, groups: u64, seed: u64) -> Self {
        let own = (0..groups).map(|group| Own::new(format!("own-{number}-{group}"))).collect();
        Self { random: Random(seed ^ (number << 32)), own }
    }

    /// Pushes until the other side is gone.
    pub(super) fn push(&mut self, load: &Load<'_>) {
        let Ok(mut connection) = Connection::open(load.address) else { return };
        loop {
            let is_answered = if self.random.one_in(4) {
                let index = usize::try_from(self.random.below(load.shared.len() as u64)).unwrap();
                self.push_to_shared(&mut connection, &load.shared[index])
            } else {
                self.push_to_own(&mut connection)
            };
            if !is_answered {
                return;
            }
            if load.answered.fetch_add(1, Ordering::SeqCst) + 1 == load.wanted {
                load.enough.send(()).unwrap();
            }
        }
    }

    fn push_to_own(&mut self, connection: &mut Connection) -> bool {
        let push = self.any_push();
        let index = usize::try_from(self.random.below(self.own.len() as u64)).unwrap();
        let help = self.help();
        let own = &mut self.own[index];
        own.sent(push.clone());
        let is_answered = send(connection, &own.key, &push, &help);
        if is_answered {
            own.answered();
        }
        is_answered
    }

    fn push_to_shared(&mut self, connection: &mut Connection, shared: &Shared) -> bool {
        let value = number();
        let push = match self.random.one_in(5) {
            true => Push::Delete,
            false => Push::Put(NAMES.map(|name| (name, value)).into()),
        };
        let place = shared.sent((push != Push::Delete).then_some(value));
        let is_answered = send(connection, &shared.key, &push, &self.help());
        if is_answered {
            shared.answered(place);
        }
        is_answered
    }

    fn any_push(&mut self) -> Push {
        let value = number();
        let chosen = NAMES.iter().filter(|_| self.random.one_in(2)).map(|name| (*name, value)).collect();
        match self.random.below(10) {
            0 => Push::Delete,
            1 => Push::Refused,
            2..5 => Push::Post(chosen),
            _ => Push::Put(chosen),
        }
    }

    /// Of many lengths, so that files grow and what is written breaks off anywhere.
    fn help(&mut self) -> String {
        let longest = if self.random.one_in(20) { 15_000 } else { 300 };
        "x".repeat(usize::try_from(self.random.below(longest)).unwrap())
    }
}

fn number() -> f64 {
    f64::from(NUMBER.fetch_add(1, Ordering::SeqCst))
}

/// Whether it was answered, which it has to be well.
fn send(connection: &mut Connection, key: &str, push: &Push, help: &str) -> bool {
    let samples = |(name, value): (&&str, &f64)| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    let (method, body, expected) = match push {
        Push::Put(families) => ("PUT", families.iter().map(samples).collect(), 200),
        Push::Post(families) => ("POST", families.iter().map(samples).collect(), 200),
        Push::Delete => ("DELETE", String::new(), 202),
        Push::Refused => ("PUT", "a 1 5\n".to_owned(), 400),
    };
    match connection.send(method, &format!("/metrics/job/crash/key/{key}"), &[], &body) {
        Ok(reply) => {
            let text = String::from_utf8_lossy(&reply.body);
            assert_eq!(reply.status, expected, "{method} {key}: {text}");
            true
        }
        Err(_) => false,
    }
}
