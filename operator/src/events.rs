//! Kubernetes Events: what was done and what is wrong, told about an object where `kubectl describe` shows it.
//!
//! Telling costs the teller nothing: sentences wait in a short row for a task that writes them, and one that cannot be
//! written, or finds the row full, goes to the log alone. The same sentence told again within some minutes counts up
//! the Event there is; kube's recorder does not look at the sentence when it compares, so the action carries a mark of
//! it.
//!
//! *Never:* what is worth telling.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::{mpsc, oneshot};

/// Who tells.
const REPORTER: &str = "sidegate-operator";

/// How many sentences may wait.
const ROW: usize = 256;

/// How long writing one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest note the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What stands for what was cut.
const CUT: &str = " …";

/// How important an Event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something was done.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Tells. Clones share the row.
#[derive(Clone, Debug)]
pub struct Events {
    row: mpsc::Sender<Order>,
}

#[derive(Debug)]
enum Order {
    Write {
        about: Box<ObjectReference>,
        kind: Kind,
        reason: &'static str,
        message: String,
    },
    /// To be answered when all before it is done.
    Mark(oneshot::Sender<()>),
}

// === impl Events ===

impl Events {
    /// Writes to an API server, by a task that ends when the last clone is gone.
    #[must_use]
    pub fn to(client: &Client) -> Self {
        let (row, orders) = mpsc::channel(ROW);
        tokio::spawn(write(Recorder::new(client.clone(), Reporter::from(REPORTER)), orders));
        Self { row }
    }

    /// Tells something about an object, in the object's namespace. The reason is one word in `PascalCase`.
    pub fn tell(&self, about: ObjectReference, kind: Kind, reason: &'static str, message: impl Into<String>) {
        // To kube's recorder another version is another object, and no sentence would ever count up.
        let about = ObjectReference { resource_version: None, ..about };
        let order = Order::Write { about: Box::new(about), kind, reason, message: message.into() };
        if let Err(mpsc::error::TrySendError::Full(Order::Write { about, message, .. })) = self.row.try_send(order) {
            tracing::warn!(name = about.name, namespace = about.namespace, reason, message, "too many Events at once");
        }
    }

    /// Waits until everything told before is written or given up.
    pub async fn settled(&self) {
        let (mark, reached) = oneshot::channel();
        // An error means that nobody writes any more, and nothing is waited for.
        if self.row.send(Order::Mark(mark)).await.is_ok() {
            let _ = reached.await;
        }
    }
}

async fn write(recorder: Recorder, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Mark(mark) => {
                let _ = mark.send(());
            }
            Order::Write { about, kind, reason, message } => {
                let event = event(kind, reason, &message);
                let written = tokio::time::timeout(PATIENCE, recorder.publish(&event, &about)).await;
                let failure = match written {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer within {PATIENCE:?}"),
                };
                let (name, namespace) = (about.name, about.namespace);
                tracing::warn!(error = failure, name, namespace, reason, message, "cannot write an Event");
            }
        }
    }
}

fn event(kind: Kind, reason: &'static str, message: &str) -> Event {
    let mut mark = DefaultHasher::new();
    message.hash(&mut mark);
    Event {
        type_: match kind {
            Kind::Normal => EventType::Normal,
            Kind::Warning => EventType::Warning,
        },
        reason: reason.to_owned(),
        note: Some(cut(message)),
        action: format!("{reason}-{:016x}", mark.finish()),
        secondary: None,
    }
}

fn cut(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LONGEST_NOTE - CUT.len());
    message.get(..end).unwrap_or_default().to_owned() + CUT
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What the API server was asked: method, path and object.
    pub(crate) type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

    /// An API server that takes every Event, but for those whose reason is `Refused`.
    pub(crate) fn server() -> (Client, Asked) {
        let asked = Asked::default();
        let seen = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                let object: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                let is_refused = object["reason"] == "Refused";
                seen.lock().unwrap().push((head.method.to_string(), head.uri.path().to_owned(), object.clone()));
                let (status, answer) = if is_refused {
                    (403, json!({"kind": "Status", "status": "Failure", "message": "no", "code": 403}))
                } else {
                    (201, object)
                };
                let answer = axum::body::Body::from(answer.to_string());
                Ok::<_, std::io::Error>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        (Client::new(service, "default"), asked)
    }

    fn nightly() -> ObjectReference {
        ObjectReference {
            kind: Some("PushGroup".to_owned()),
            namespace: Some("data".to_owned()),
            name: Some("nightly".to_owned()),
            uid: Some("uid".to_owned()),
            ..ObjectReference::default()
        }
    }

    /// Tells sentences of one reason about one object, of another version each time; what the API server was asked.
    async fn told(sentences: &[(&'static str, &str)]) -> Vec<(String, String, Value)> {
        let (client, asked) = server();
        let events = Events::to(&client);
        for (version, (reason, message)) in sentences.iter().enumerate() {
            let about = ObjectReference { resource_version: Some(version.to_string()), ..nightly() };
            events.tell(about, Kind::Normal, reason, *message);
        }
        events.settled().await;
        let asked = asked.lock().unwrap();
        asked.clone()
    }

    #[tokio::test]
    async fn an_event_is_about_its_object_in_its_namespace() {
        let asked = told(&[("Collected", "Removed 1 group")]).await;
        let [(method, path, event)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/apis/events.k8s.io/v1/namespaces/data/events"));
        assert_eq!(event["regarding"]["name"], "nightly");
        assert_eq!(event["reportingController"], "sidegate-operator");
        let found = ["type", "reason", "note"].map(|field| event[field].as_str().unwrap_or_default().to_owned());
        assert_eq!(found, ["Normal", "Collected", "Removed 1 group"]);
        assert!(event["action"].as_str().is_some_and(|action| action.len() <= 128));
    }

    #[tokio::test]
    async fn the_same_sentence_again_counts_up_and_another_is_another_event() {
        let asked = told(&[("Collected", "one"), ("Collected", "one"), ("Collected", "two")]).await;
        let methods: Vec<_> = asked.iter().map(|(method, _, _)| method.as_str()).collect();
        assert_eq!(methods, ["POST", "PATCH", "POST"]);
        assert_eq!(asked[1].2["series"]["count"], 2);
        assert_eq!(asked[2].2["note"], "two");
    }

    #[tokio::test]
    async fn one_that_is_refused_does_not_stop_the_next() {
        let asked = told(&[("Refused", "one"), ("Collected", "two")]).await;
        assert_eq!(asked.iter().map(|(_, _, event)| &event["note"]).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_long_sentence_is_cut_where_a_character_ends() {
        let long = format!("{}ßß{}", "x".repeat(1018), "y".repeat(9));
        let note = event(Kind::Warning, "Long", &long).note.unwrap();
        assert!(note.len() <= 1024, "{}", note.len());
        assert!(note.ends_with("xß …"), "{note}");
        assert_eq!(event(Kind::Warning, "Long", "short").note.as_deref(), Some("short"));
    }
}
