//! What gateways can make the operator take: a tenant names them, and one may answer whatever it likes, beside others that
//! do the same.
//!
//! Counted is the growth of a process of its own, one test at a time, while the real collector visits several such
//! gateways at once over real HTTP. What they say is there before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed, which is right")]

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crds::PushGroup;
use e2e::wait;
use operator::{clock::Clock, signing::OperatorKey};
use serde_json::json;
use tokio::sync::Mutex;

use self::collecting::collect;

#[path = "it/collecting.rs"]
#[expect(dead_code, reason = "only the memory that it takes is looked at")]
mod collecting;

/// How many gateways there are.
const GATEWAYS: usize = 6;

/// What answers of the API may take in all, in bytes: they themselves are more, and as objects of JSON thirty times that.
const ROOM_OF_ANSWERS: usize = 16 * 1024 * 1024;

/// What long pages may take in all, in bytes: they themselves are half of it, and with all that is made of them seven times
/// that. Two may be there at a time.
const ROOM_OF_PAGES: usize = 32 * 1024 * 1024;

/// How many groups an answer of the API has: a quarter of what is read of one, since this is not built to be fast.
const TOLD: usize = 160_000;

/// How many groups a long page has, each with ten labels and almost 400 bytes: a quarter of what is taken from one.
const SHOWN: usize = 5_000;

/// By when so much has to be collected, on a busy machine and with visits that fail for want of room.
const PATIENCE: Duration = Duration::from_secs(240);

/// What is measured is the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What a gateway says.
struct Answers {
    page: String,
    keys: String,
}

/// Of each gateway, how often it was asked for its page, and for a removal.
#[derive(Debug, Default)]
struct Asked {
    pages: [AtomicUsize; GATEWAYS],
    removals: AtomicUsize,
}

/// The address of a gateway.
fn gateway(nth: usize, answers: Arc<Answers>, asked: Arc<Asked>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answers, asked) = (answers.clone(), asked.clone());
            // The other side may have heard enough.
            thread::spawn(move || drop(answer(stream.unwrap(), nth, &answers, &asked)));
        }
    });
    url
}

fn answer(mut stream: TcpStream, nth: usize, answers: &Answers, asked: &Asked) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&bytes[..count]);
    }
    if request.starts_with(b"DELETE") {
        asked.removals.fetch_add(1, Ordering::Relaxed);
        return stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    if request.starts_with(b"GET /api/") {
        return stream.write_all(answers.keys.as_bytes());
    }
    asked.pages[nth].fetch_add(1, Ordering::Relaxed);
    stream.write_all(answers.page.as_bytes())
}

/// As the API tells the stale group and so many others.
fn keys(others: usize) -> String {
    let others = r#"{"labels":{"a":"123456"}},"#.repeat(others);
    format!(r#"{{"status":"success","data":[{others}{{"labels":{{"job":"old"}}}}]}}"#)
}

/// The page with a stale group and so many others.
fn page(others: usize) -> String {
    let (now, value) = (Clock::system().now().as_second(), "x".repeat(27));
    let labels: String = (1..9).map(|label| format!(r#"label{label}="{value}","#)).collect();
    let mut page = "# TYPE push_time_seconds gauge\npush_time_seconds{instance=\"\",job=\"old\"} 1\n".to_owned();
    for nth in 0..others {
        page += &format!("push_time_seconds{{instance=\"{nth}\",job=\"young\",{labels}}} {now}\n");
    }
    page
}

fn push_group(nth: usize, url: &str) -> PushGroup {
    serde_json::from_value(json!({
        "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
        "metadata": {"namespace": "data", "name": format!("gateway-{nth}"), "uid": format!("uid-{nth}"), "generation": 1},
        "spec": {"gateway": {"url": url}, "staleAfter": "1h"},
    }))
    .unwrap()
}

/// The most memory of this process since that was set back, in bytes.
fn highest() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// By how much memory grows until each gateway was asked, and as many removals as there are gateways.
async fn growth(answers: Answers) -> usize {
    let (answers, asked) = (Arc::new(answers), Arc::<Asked>::default());
    let gateways = (0..GATEWAYS).map(|nth| push_group(nth, &gateway(nth, answers.clone(), asked.clone())));
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = highest();
    let mut collecting = collect(gateways.collect(), vec![], 1, OperatorKey::from_seed(&[1; 32])).await;
    let collected = wait::until("the gateways to be collected", PATIENCE, || async {
        let is_asked = asked.pages.iter().all(|pages| 0 < pages.load(Ordering::Relaxed));
        anyhow::ensure!(is_asked && GATEWAYS <= asked.removals.load(Ordering::Relaxed), "{asked:?}");
        Ok(Some(()))
    });
    tokio::select! {
        collected = collected => collected.unwrap(),
        () = async { while collecting.news.recv().await.is_some() {} } => panic!("the collector has ended"),
    }
    let grown = highest().saturating_sub(before);
    collecting.end().await;
    grown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_with_very_many_groups_take_next_to_nothing() {
    let _alone = ALONE.lock().await;
    let answers = Answers { page: page(0), keys: keys(TOLD) };
    assert!(ROOM_OF_ANSWERS < GATEWAYS * answers.keys.len(), "{}", answers.keys.len());
    let grown = growth(answers).await;
    assert!(grown <= ROOM_OF_ANSWERS, "expected at most {ROOM_OF_ANSWERS} bytes, found {grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_pages_with_very_many_groups_few_are_in_memory_at_a_time() {
    let _alone = ALONE.lock().await;
    let answers = Answers { page: page(SHOWN - 1), keys: keys(0) };
    let least = answers.page.len();
    let grown = growth(answers).await;
    // Less would mean that something else was measured.
    assert!((least..=ROOM_OF_PAGES).contains(&grown), "expected {least} to {ROOM_OF_PAGES} bytes, found {grown}");
}
