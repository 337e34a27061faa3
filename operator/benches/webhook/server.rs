//! The servers: the operator's webhook as it serves, and one that reads a review and gives a fixed answer.
//!
//! *Never:* who asks.

use std::{future, io::Write as _, sync::Arc, time::Duration};

use axum::{Router, body::Body, body::Bytes, http::Request, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::PushGroup;
use futures::{StreamExt as _, stream};
use kube::{Client, Resource, runtime::watcher::Event};
use operator::{
    cache::{Cache, cache},
    certs::issue::{self, Identity},
    config::{SidecarImage, WebhookLimits},
    events::Events,
    injection::{
        groups::Groups,
        limit_ranges::LimitRanges,
        namespaces::Namespaces,
        webhook::{self, Around, WebhookState},
    },
    listen,
    serving::Serving,
    stop,
};
use serde_json::json;
use tokio::sync::watch;

/// An answer as long as ours.
const FIXED: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true,"patchType":"JSONPatch","patch":""#;

/// Serves until it is ended; prints its address and its certificate.
pub(crate) async fn serve(kind: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().to_vec();
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let printed = format!("{}\n{}\n", listener.local_addr().unwrap(), STANDARD.encode(&certificate));
    std::io::stdout().write_all(printed.as_bytes()).unwrap();
    let identity = Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() };
    let config = issue::server_config(&identity, Arc::new(rustls::crypto::ring::default_provider())).unwrap();
    let tls = watch::Sender::new(Arc::new(config)).subscribe();
    let router = match kind {
        "webhook" => webhook().await,
        _ => {
            let answer = format!("{FIXED}{}\"}}}}", "A".repeat(5_000));
            Router::new().route("/mutate-pods", post(move |_: Bytes| future::ready(answer.clone())))
        }
    };
    let (_running, stop) = stop::channel();
    Serving { tls, router, stop, most: 256, metrics: Arc::default() }.serve(listener).await.unwrap();
}

async fn webhook() -> Router {
    let service = tower::service_fn(|_: Request<kube::client::Body>| async {
        Ok::<_, std::io::Error>(axum::http::Response::builder().status(503).body(Body::empty()).unwrap())
    });
    let client = Client::new(service, "default");
    let spec = json!({"selector": {"matchLabels": {"app": "etl"}}, "staleAfter": "1h", "sidecar": {"storage": "Disk"}});
    let mut group = PushGroup::new("nightly", serde_json::from_value(spec).unwrap());
    group.metadata.namespace = Some("data".to_owned());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "data"}})).unwrap();
    let around = Around {
        groups: Groups::new(known(vec![group]).await, client.clone()),
        namespaces: Namespaces::new(known(vec![namespace]).await, client.clone()),
        limit_ranges: LimitRanges::new(known(Vec::new()).await),
    };
    let image = SidecarImage { image: "sidegate:1".to_owned(), ..SidecarImage::default() };
    let limits =
        WebhookLimits { timeout: Duration::from_secs(4), review_bytes: 3_670_016, memory_bytes: 96 * 1024 * 1024 };
    webhook::router(WebhookState::new(Arc::new(image), &limits, around, Events::to(&client), Arc::default()))
}

async fn known<K>(objects: Vec<K>) -> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (cache, writer) = cache();
    let objects = objects.into_iter().map(Event::InitApply);
    let events = [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).map(Ok);
    writer.fill(stream::iter(events)).for_each(|_| future::ready(())).await;
    cache
}
