//! Reviews that nobody sends but to do harm, and those of an API server that was configured wrongly.

use bytes::Bytes;
use futures::stream;

use super::*;

/// What is answered to a body, and the most room that was taken meanwhile, in bytes.
async fn sent(state: &WebhookState, body: Body) -> (u16, String) {
    let request = Request::post("/mutate-pods").header("content-type", "application/json").body(body).unwrap();
    let answer = router(state.clone()).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[track_caller]
fn counted(state: &WebhookState, name: &str) {
    let (page, line) = (state.metrics.page().unwrap(), format!("sidegate_operator_{name} 1"));
    assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
}

/// A review whose pod is some text in its place.
fn with_pod(pod: &str) -> String {
    review_of(&json!("?")).to_string().replace("\"?\"", pod)
}

async fn check_refused(body: impl Into<Body>, status: u16, sentence: &str, reason: &str) {
    let state = state(vec![], None);
    let (found, text) = sent(&state, body.into()).await;
    assert_eq!(found, status, "{text}");
    assert!(text.starts_with(sentence) && text.len() < 400, "{text:.1000}");
    counted(&state, &format!("refused_reviews_total{{reason=\"{reason}\"}}"));
    assert_eq!(state.room.free().available_permits(), 96 * 1024);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_a_sentence_and_counted() {
    check_refused("not json", 400, "expected an AdmissionReview as JSON: expected ident", "no_json").await;
    check_refused("{}", 400, "expected kind AdmissionReview of admission.k8s.io/v1, found", "unknown_kind").await;
    let old = with_pod("{}").replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    check_refused(old, 400, "expected kind AdmissionReview of admission.k8s.io/v1, found", "unknown_kind").await;
    let nothing = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#;
    check_refused(nothing, 400, "expected an AdmissionReview with a request, found none", "no_request").await;
    let nobody = with_pod("{}").replace("0c9a8d74", "");
    check_refused(nobody, 400, "expected a request with a uid, found none", "no_uid").await;
    let long = " ".repeat(7 * 512 * 1024 + 1);
    check_refused(long, 413, "expected a review of at most 3670016 bytes, found more", "too_long").await;
    let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("cut"))]);
    check_refused(Body::from_stream(broken), 400, "expected a review, and its body broke off", "broken").await;
    check_refused(vec![0xff; 1000], 400, "expected an AdmissionReview as JSON: expected value", "no_json").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    check_refused(never, 408, "expected a review within 4s", "too_slow").await;
    // A byte a second is no review either.
    let slow = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"{")), ()))
    });
    check_refused(Body::from_stream(slow), 408, "expected a review within 4s", "too_slow").await;
}

/// The warning of a pod that is admitted unchanged for a reason.
async fn fault(pod: &str, reason: &str) -> String {
    let state = state(vec![], Some(vec![]));
    let (status, text) = sent(&state, Body::from(with_pod(pod))).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)));
    assert_eq!(answer["response"]["patch"], json!(null));
    counted(&state, &format!("injections_total{{result=\"failed\",reason=\"{reason}\"}}"));
    assert_eq!(state.room.free().available_permits(), 96 * 1024);
    let warnings: Vec<String> = serde_json::from_value(answer["response"]["warnings"].clone()).unwrap();
    assert_eq!(warnings.len(), 1);
    warnings[0].strip_prefix("sidegate: no sidecar, by a fault of the operator: ").unwrap().to_owned()
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_is_admitted_unchanged_with_a_warning() {
    let deep = "{\"a\":".repeat(5_000) + "0" + &"}".repeat(5_000);
    let warning = fault(&deep, "unreadable").await;
    assert!(warning.starts_with("cannot read the pod: recursion limit exceeded"), "{warning}");
    let wide = format!("[{}]", vec!["{\"\":0}"; 400_000].join(","));
    let warning = fault(&wide, "too_heavy").await;
    assert!(warning.starts_with("expected a pod in 75497472 bytes of memory, found about "), "{warning}");
}

#[tokio::test]
async fn what_is_no_pod_in_creation_is_left_alone_whatever_it_looks_like() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    for (field, value, reason) in [
        ("operation", json!("UPDATE"), "not_a_create"),
        ("operation", json!("DELETE"), "not_a_create"),
        ("subResource", json!("ephemeralcontainers"), "subresource"),
        ("resource", json!({"group": "apps", "version": "v1", "resource": "deployments"}), "no_pod"),
    ] {
        let mut review = review_of(&job_pod());
        review["request"][field] = value;
        assert_eq!(admitted(&state, &review).await, (None, vec![]));
        let counter = format!("sidegate_operator_injections_total{{result=\"untouched\",reason=\"{reason}\"}}");
        assert!(state.metrics.page().unwrap().contains(&counter), "{counter}");
    }
}

#[tokio::test]
async fn a_pod_of_strange_types_is_admitted() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], Some(vec![]));
    for pod in [
        "null",
        "3",
        "\"pod\"",
        "[]",
        "{\"metadata\": 3, \"spec\": []}",
        "{\"metadata\": {\"labels\": {\"sidegate.dev/inject\": 3}, \"annotations\": []}, \"spec\": {}}",
        "{\"metadata\": {\"labels\": {\"sidegate.dev/inject\": \"true\"}}, \"spec\": {\"containers\": {}, \
          \"initContainers\": [3, null], \"volumes\": \"all\"}}",
        "{\"metadata\": {\"annotations\": {\"sidegate.dev/inject\": \"true\"}, \"labels\": null, \"ownerReferences\": \
          {}}, \"spec\": {\"containers\": [{\"env\": \"all\", \"ports\": 3}]}}",
    ] {
        let (status, text) = sent(&state, Body::from(with_pod(pod))).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)), "{pod}: {text}");
    }
}

#[tokio::test]
async fn many_heavy_reviews_at_once_take_no_more_than_there_is_room() {
    let state = state(vec![group("nightly", json!({"selector": {}}))], None);
    let mut pod = job_pod();
    pod["metadata"]["managedFields"] = json!(vec![json!({"f:a": {"f:b": {}}}); 10_000]);
    let review = review_of(&pod).to_string();
    // Some 35 MiB each, by estimate.
    let asked = (0..8).map(|_| sent(&state, Body::from(review.clone())));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|(status, text)| *status == 200 && text.contains("JSONPatch")));
    assert_eq!(state.room.free().available_permits(), 96 * 1024);
}

#[tokio::test]
async fn another_path_or_method_is_not_served() {
    let ask = |request: Request<Body>| async {
        router(state(vec![], None)).oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(ask(Request::get("/mutate-pods").body(Body::empty()).unwrap()).await, 405);
    assert_eq!(ask(Request::post("/").body(Body::empty()).unwrap()).await, 404);
}
