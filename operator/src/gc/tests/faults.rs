//! Targets that do all a server can do wrong, beside others that do nothing wrong: those are collected in time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a target does once it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Says nothing.
    Hangs,
    /// Answers what is no HTTP.
    Garbage,
    /// Answers 100 MB and announces them.
    HundredMegabytes,
    /// Goes on and on without announcing how long.
    Endless,
    /// Sends a head that does not end.
    EndlessHead,
    /// Sends us somewhere else.
    Redirects,
    /// Breaks off in the head.
    ClosesAtOnce,
    /// Announces more than it sends, and closes.
    ClosesEarly,
    /// Announces more than it sends, and stays.
    AnnouncesMore,
    /// Announces less than it sends.
    AnnouncesLess,
    /// Sends a byte a second.
    Drips,
    /// Sends what is no text.
    NoText,
    /// Answers well, right before its time is over: no failure, and so none of the others below.
    Slow,
}

pub(super) const FAULTS: [Fault; 12] = [
    Fault::Hangs,
    Fault::Garbage,
    Fault::HundredMegabytes,
    Fault::Endless,
    Fault::EndlessHead,
    Fault::Redirects,
    Fault::ClosesAtOnce,
    Fault::ClosesEarly,
    Fault::AnnouncesMore,
    Fault::AnnouncesLess,
    Fault::Drips,
    Fault::NoText,
];

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";

/// An error means that the other side has had enough.
pub(super) async fn misbehave(fault: Fault, stream: &mut TcpStream) -> std::io::Result<()> {
    match fault {
        Fault::Hangs => std::future::pending().await,
        Fault::Garbage => stream.write_all(b"\x00\xff not HTTP at all\r\n\r\n").await,
        Fault::HundredMegabytes => send(stream, &format!("{OK}content-length: 100000000\r\n\r\n"), 100_000_000).await,
        Fault::Endless => send(stream, &format!("{OK}connection: close\r\n\r\n"), usize::MAX).await,
        Fault::EndlessHead => send(stream, &format!("{OK}x-long: "), usize::MAX).await,
        Fault::Redirects => stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n").await,
        Fault::ClosesAtOnce => stream.write_all(b"HTTP/1.1 2").await,
        Fault::ClosesEarly => send(stream, &format!("{OK}content-length: 1000\r\n\r\n"), 10).await,
        Fault::AnnouncesMore => {
            send(stream, &format!("{OK}content-length: 1000\r\n\r\n"), 10).await?;
            std::future::pending().await
        }
        Fault::AnnouncesLess => {
            let page = "# TYPE push_time_seconds gauge\npush_time_seconds{job=\"a\"} 1\n";
            stream.write_all(format!("{OK}content-length: 40\r\n\r\n{page}").as_bytes()).await
        }
        Fault::Drips => {
            stream.write_all(format!("{OK}content-length: 1000\r\n\r\n").as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(b"#").await?;
            }
        }
        Fault::Slow => {
            tokio::time::sleep(Duration::from_millis(4900)).await;
            stream.write_all(format!("{OK}content-length: 0\r\n\r\n").as_bytes()).await
        }
        Fault::NoText => stream.write_all(format!("{OK}content-length: 2\r\n\r\n\u{0}").as_bytes()).await,
    }
}

async fn send(stream: &mut TcpStream, head: &str, length: usize) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    let chunk = [b'#'; 16 * 1024];
    let mut left = length;
    while 0 < left {
        let now = left.min(chunk.len());
        stream.write_all(&chunk[..now]).await?;
        left -= now;
    }
    Ok(())
}

/// A target with a fault; counts how often it was asked.
async fn faulty(address: &str, fault: Fault, asked: Arc<AtomicUsize>) {
    let listener = TcpListener::bind(SocketAddr::new(address.parse().unwrap(), port())).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                if stream.read(&mut [0; 4096]).await.is_ok() {
                    let _ = misbehave(fault, &mut stream).await;
                }
            });
        }
    });
}

/// Waits until sidecars have no old group any more.
async fn all_are_collected(fakes: &[Fake]) {
    while fakes.iter().any(|fake| fake.groups.lock().unwrap().contains_key("old")) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_a_failure_with_a_reason() {
    let reasons = [
        "timeout", "connect", "body", "body", "connect", "status", "connect", "body", "timeout", "", "timeout", "body",
    ];
    for (nth, (fault, reason)) in FAULTS.into_iter().zip(reasons).enumerate() {
        let address = format!("127.23.1.{}", nth + 1);
        faulty(&address, fault, Arc::default()).await;
        let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", &address)]);
        passes.next().await;
        let report = passes.next().await;
        if reason.is_empty() {
            // What comes after the announced length is nobody's answer: the page ends in the middle of a line.
            assert_eq!((report.failed, report.groups), (0, 0), "{fault:?}");
            continue;
        }
        assert_eq!((report.failed, report.groups), (1, 0), "{fault:?}");
        passes.counted(reason, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn others_are_collected_in_time_whatever_some_targets_do() {
    let asked = Arc::<AtomicUsize>::default();
    let (mut pods, mut fakes) = (Vec::new(), Vec::new());
    for (nth, fault) in FAULTS.into_iter().enumerate() {
        for copy in 1..=4 {
            let address = format!("127.23.{}.{copy}", 10 + nth);
            faulty(&address, fault, asked.clone()).await;
            pods.push(pod(&format!("faulty-{nth}-{copy}"), &address));
        }
    }
    for nth in 1..=20 {
        let address = format!("127.23.40.{nth}");
        fakes.push(serve(&address, &[("old", 4000), ("young", 10)], Fake::default()).await);
        pods.push(pod(&format!("healthy-{nth}"), &address));
    }
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), pods);
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let watching = async {
        let started = Instant::now();
        all_are_collected(&fakes).await;
        // Each faulty one has cost its place once, for no longer than a request may take.
        assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());

        // From then on they have places of their own, and cost nothing.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            for fake in &fakes {
                fake.groups.lock().unwrap().insert("old".to_owned(), (NOW - 4000).to_string());
            }
            let again = Instant::now();
            all_are_collected(&fakes).await;
            // The counts are renewed every ten seconds, more or less.
            assert!(again.elapsed() <= Duration::from_secs(13), "{:?}", again.elapsed());
        }
    };
    collector.collect_until(agenda, stop, watching).await;
    let report = collector.reports.last("uid").unwrap();
    assert_eq!((report.targets, report.groups), (68, 20));
    assert_eq!(report.failed, 44, "all but those whose page only ends too early");
    assert!(fakes.iter().all(|fake| fake.groups.lock().unwrap().contains_key("young")));
    // Some two minutes: without pauses that grow, each would have been asked some twelve times.
    let times = asked.load(Ordering::Relaxed);
    assert!(times <= 48 * 8, "{times}");
}

#[tokio::test(start_paused = true)]
async fn others_are_collected_in_time_however_many_targets_answer_late() {
    let mut pods = Vec::new();
    for nth in 1..=200 {
        let address = format!("127.23.50.{nth}");
        faulty(&address, Fault::Slow, Arc::default()).await;
        pods.push(pod(&format!("slow-{nth}"), &address));
    }
    let fakes = [serve("127.23.51.1", &[("old", 4000)], Fake::default()).await];
    pods.push(pod("healthy", "127.23.51.1"));
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), pods);
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let watching = async {
        // Each slow one has cost its place once.
        tokio::time::sleep(Duration::from_secs(40)).await;
        for _ in 0..3 {
            fakes[0].groups.lock().unwrap().insert("old".to_owned(), (NOW - 4000).to_string());
            let again = Instant::now();
            all_are_collected(&fakes).await;
            // The counts are renewed every ten seconds, more or less.
            assert!(again.elapsed() <= Duration::from_secs(14), "{:?}", again.elapsed());
        }
    };
    collector.collect_until(agenda, stop, watching).await;
    assert_eq!(collector.reports.last("uid").unwrap().failed, 0);
}
