//! Room for reviews: what all that are in hand may take of the memory, and how a body is read within it.
//!
//! A body takes its share as it comes, so that somebody who sends slowly holds no more than was sent. A pod read as JSON
//! takes many times its text, up to eighty times where it is made for it, so what it will take is estimated from its text
//! before it is read. Whoever finds no room waits for it, until the deadline of the review. Large ones have three quarters
//! of it among them: however many they are, ordinary ones go past.
//!
//! *Never:* what a review says.

use std::sync::Arc;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;
use crate::config::WebhookLimits;

/// What is taken at a time, in bytes.
const GRAIN: usize = 1024;

/// What a connection, its TLS and the answer take besides, in bytes.
const BESIDES: usize = 64 * 1024;

/// What the largest ordinary review takes, in bytes: more than that of a pod of a hundred containers.
const ORDINARY: usize = 1024 * 1024;

/// The room there is. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    limits: WebhookLimits,
    free: Arc<Semaphore>,
    /// The part of it that large reviews may have.
    free_for_large: Arc<Semaphore>,
}

/// A body that has come in full, and its share of the room for as long as it lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    share: Share,
}

/// A pod would take more than there is for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a pod in {room} bytes of memory, found about {found}")]
pub(super) struct TooHeavy {
    pub(super) room: usize,
    pub(super) found: usize,
}

#[derive(Debug)]
struct Share {
    room: Room,
    part: Part,
    /// Of the part for large reviews.
    large_part: Part,
}

/// What is held of a part of the room.
#[derive(Debug, Default)]
struct Part(Option<OwnedSemaphorePermit>);

// === impl Room ===

impl Room {
    pub(super) fn new(limits: WebhookLimits) -> Self {
        let grains = |bytes: usize| Arc::new(Semaphore::new((bytes / GRAIN).min(Semaphore::MAX_PERMITS)));
        Self { limits, free: grains(limits.memory_bytes), free_for_large: grains(for_large(limits)) }
    }

    /// Reads a body in full.
    ///
    /// # Cancel safety
    /// What was read is lost, and its share is free again.
    pub(super) async fn read(&self, mut body: Body) -> Result<Held, Refusal> {
        let longest = self.limits.review_bytes;
        let share = Share { room: self.clone(), part: Part::default(), large_part: Part::default() };
        let mut held = Held { bytes: Vec::new(), share };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::Broken(error.to_string()))?;
            let Ok(chunk) = frame.into_data() else { continue };
            let length = held.bytes.len() + chunk.len();
            if longest < length {
                return Err(Refusal::TooLong { longest });
            }
            // A buffer that grows is up to twice as large as what is in it.
            held.share.grow_to(BESIDES + 2 * length).await;
            held.bytes.extend_from_slice(&chunk);
        }
        Ok(held)
    }

    /// Takes the room that reading the pod will need.
    ///
    /// # Errors
    /// When there will never be so much.
    ///
    /// # Cancel safety
    /// What was held before is held still.
    pub(super) async fn make_for_pod(&self, held: &mut Held) -> Result<(), TooHeavy> {
        let found = BESIDES + 2 * held.bytes.len() + weight(&held.bytes);
        let room = for_large(self.limits);
        if room < found {
            return Err(TooHeavy { room, found });
        }
        held.share.grow_to(found).await;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> Arc<Semaphore> {
        self.free.clone()
    }
}

// === impl Share ===

impl Share {
    async fn grow_to(&mut self, bytes: usize) {
        if ordinary(self.room.limits) < bytes {
            self.large_part.grow_to(bytes, &self.room.free_for_large).await;
        }
        self.part.grow_to(bytes, &self.room.free).await;
    }
}

// === impl Part ===

impl Part {
    fn grains(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    async fn grow_to(&mut self, bytes: usize, free: &Arc<Semaphore>) {
        let missing = bytes.div_ceil(GRAIN).saturating_sub(self.grains());
        let Ok(missing @ 1..) = u32::try_from(missing) else { return };
        // The semaphore is never closed.
        let Ok(more) = free.clone().acquire_many_owned(missing).await else { return };
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
    }
}

/// What all large reviews may take at a time, and so the largest.
fn for_large(limits: WebhookLimits) -> usize {
    limits.memory_bytes / 4 * 3
}

fn ordinary(limits: WebhookLimits) -> usize {
    ORDINARY.min(limits.memory_bytes / 8)
}

/// What a JSON text takes at most when it is read into values, in bytes: its strings, a place for each value with as much
/// spare, and for each object a node of its tree, which has room for eleven members whether there are any or not.
///
/// What looks like JSON within a string counts as well.
fn weight(text: &[u8]) -> usize {
    text.iter().fold(text.len() + size_of::<serde_json::Value>(), |weight, byte| {
        weight
            + match byte {
                b'{' => 704,
                b'[' => 160,
                b',' => 112,
                b':' => 32,
                _ => 0,
            }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const LIMITS: WebhookLimits =
        WebhookLimits { timeout: Duration::from_secs(4), review_bytes: 100_000, memory_bytes: 1_000_000 };

    fn free(room: &Room) -> usize {
        room.free.available_permits()
    }

    #[tokio::test]
    async fn a_body_takes_its_share_and_gives_it_back() {
        let room = Room::new(LIMITS);
        let all = free(&room);
        let mut held = room.read(Body::from(vec![b' '; 50_000])).await.unwrap();
        assert_eq!(all - free(&room), (BESIDES + 100_000).div_ceil(GRAIN));
        room.make_for_pod(&mut held).await.unwrap();
        assert_eq!(all - free(&room), (BESIDES + 150_000).div_ceil(GRAIN));
        drop(held);
        assert_eq!(free(&room), all);
    }

    #[tokio::test]
    async fn a_body_in_crumbs_takes_no_more_than_one_in_a_piece() {
        let room = Room::new(LIMITS);
        let crumbs = (0..5000).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x")));
        let held = room.read(Body::from_stream(futures::stream::iter(crumbs))).await.unwrap();
        assert_eq!(held.bytes.len(), 5000);
        assert_eq!(held.share.part.grains(), (BESIDES + 10_000).div_ceil(GRAIN));
    }

    #[tokio::test]
    async fn what_is_too_long_is_given_up_where_it_is() {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 1000])));
        let refusal = Room::new(LIMITS).read(Body::from_stream(chunks)).await.unwrap_err();
        assert_eq!(refusal.to_string(), "expected a review of at most 100000 bytes, found more");
    }

    #[tokio::test]
    async fn a_pod_that_never_fits_is_told_so() {
        let room = Room::new(LIMITS);
        let mut held = room.read(Body::from("[".repeat(10_000))).await.unwrap();
        assert_eq!(
            room.make_for_pod(&mut held).await.unwrap_err().to_string(),
            "expected a pod in 750000 bytes of memory, found about 1695568"
        );
    }

    #[tokio::test]
    async fn an_ordinary_review_goes_past_large_ones_that_wait() {
        let room = Room::new(LIMITS);
        let large = || Body::from(vec![b' '; 90_000]);
        let mut held = vec![room.read(large()).await.unwrap(), room.read(large()).await.unwrap()];
        held.push(room.read(large()).await.unwrap());
        let mut waiting = Box::pin(room.read(large()));
        assert!(futures::poll!(&mut waiting).is_pending(), "there is room for three");
        let mut ordinary = room.read(Body::from("{}")).await.unwrap();
        room.make_for_pod(&mut ordinary).await.unwrap();
        held.pop();
        waiting.await.unwrap();
    }

    /// What a value takes in this process, by its parts.
    fn size(value: &Value) -> usize {
        let inner = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.capacity(),
            Value::Array(values) => {
                (values.capacity() - values.len()) * size_of::<Value>() + values.iter().map(size).sum::<usize>()
            }
            // A node of the tree has eleven places for a key and a value, and is at least half full but where it is the
            // only one.
            Value::Object(members) => {
                let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
                let nodes = if members.is_empty() { 0 } else { 1 + members.len() / 6 };
                let within = members.iter().map(|(key, value)| key.capacity() + size(value) - size_of::<Value>());
                nodes * node + within.sum::<usize>()
            }
        };
        size_of::<Value>() + inner
    }

    #[test]
    fn no_text_takes_more_than_it_is_weighed() {
        let many = |text: &str| format!("[{}]", vec![text; 1000].join(","));
        let wide: serde_json::Map<_, _> = (0..1000).map(|n| (n.to_string(), json!(0))).collect();
        for text in [
            many("0"),
            many("[]"),
            many("[0]"),
            many("{}"),
            many("{\"\":0}"),
            many("\"a\""),
            many("[[[0]]]"),
            many("{\"a\":{\"b\":[{}]}}"),
            json!(wide).to_string(),
            "\"text\"".to_owned(),
        ] {
            let found = size(&serde_json::from_str(&text).unwrap());
            assert!(found <= weight(text.as_bytes()), "{found} for {text:.60}");
        }
    }

    #[test]
    fn an_ordinary_pod_weighs_little() {
        let variables: Vec<_> = (0..20).map(|n| json!({"name": format!("V{n}"), "value": "some text"})).collect();
        let pod = json!({"metadata": {"labels": {"app": "etl"}}, "spec": {"containers": [{"name": "app", "env": variables}]}});
        assert!(weight(pod.to_string().as_bytes()) < 32 * 1024);
    }
}
