//! Gateways that do all a server can do wrong, whatever they are asked, beside sidecars and gateways that do nothing wrong:
//! those are collected in time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    faults::{FAULTS, Fault, misbehave},
    *,
};

/// What a gateway is asked in the course of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Page,
    Keys,
    PageAgain,
    Removal,
}

/// A gateway with one stale group, for as long as nobody removes it.
#[derive(Clone, Debug, Default)]
struct Gateway {
    /// What it does wrong, and when.
    fault: Option<(Asked, Fault)>,
    is_collected: Arc<AtomicBool>,
    has_told_keys: Arc<AtomicBool>,
    /// How often it was asked for something that it does wrong.
    misbehaved: Arc<AtomicUsize>,
}

// === impl Gateway ===

impl Gateway {
    /// Serves it; the address.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gateway = self.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let gateway = gateway.clone();
                // An error means that the other side has had enough.
                tokio::spawn(async move {
                    let _ = gateway.answer(&mut stream).await;
                });
            }
        });
        url
    }

    async fn answer(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut request = [0; 4096];
        let count = stream.read(&mut request).await?;
        let asked =
            match &request[..count] {
                request if request.starts_with(b"DELETE ") => Asked::Removal,
                request if request.starts_with(b"GET /api/v1/metrics ") => Asked::Keys,
                request if request.starts_with(b"GET /metrics?") => {
                    if self.has_told_keys.swap(false, Ordering::Relaxed) { Asked::PageAgain } else { Asked::Page }
                }
                // A connection that was made for a removal, and not needed.
                _ => return Ok(()),
            };
        if let Some((wrong, fault)) = self.fault
            && wrong == asked
        {
            self.misbehaved.fetch_add(1, Ordering::Relaxed);
            return misbehave(fault, stream).await;
        }
        let answer = match asked {
            Asked::Page | Asked::PageAgain => {
                let group = "push_time_seconds{instance=\"\",job=\"old\"} 1\n";
                let group = if self.is_collected.load(Ordering::Relaxed) { "" } else { group };
                format!("200 OK\r\n\r\n# TYPE push_time_seconds gauge\n{group}pushgateway_build_info 1\n")
            }
            Asked::Keys => {
                self.has_told_keys.store(true, Ordering::Relaxed);
                "200 OK\r\n\r\n{\"data\": [{\"labels\": {\"job\": \"old\"}}]}".to_owned()
            }
            Asked::Removal => {
                self.is_collected.store(true, Ordering::Relaxed);
                "202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
        };
        stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await
    }
}

fn push_group(name: &str, spec: Value) -> PushGroup {
    let mut group = group(spec);
    group.metadata.name = Some(name.to_owned());
    group.metadata.uid = Some(name.to_owned());
    group
}

/// Whether it is one for which a thread waits, which keeps the paused clock from going on.
fn takes_real_time(wrong: Asked, fault: Fault) -> bool {
    wrong == Asked::Keys && matches!(fault, Fault::AnnouncesMore | Fault::Drips)
}

fn faults() -> impl Iterator<Item = (Asked, Fault)> + Clone {
    let asked = [Asked::Page, Asked::Keys, Asked::PageAgain, Asked::Removal];
    asked.into_iter().flat_map(|wrong| FAULTS.map(|fault| (wrong, fault)))
}

/// Gateways and sidecars that are all right.
struct Healthy {
    gateways: Vec<Gateway>,
    sidecars: Vec<Fake>,
}

// === impl Healthy ===

impl Healthy {
    async fn are_collected(&self) {
        let has_old = |sidecar: &Fake| sidecar.groups.lock().unwrap().contains_key("old");
        while self.gateways.iter().any(|gateway| !gateway.is_collected.load(Ordering::Relaxed))
            || self.sidecars.iter().any(has_old)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn have_old_groups(&self) {
        for gateway in &self.gateways {
            gateway.is_collected.store(false, Ordering::Relaxed);
        }
        for sidecar in &self.sidecars {
            sidecar.groups.lock().unwrap().insert("old".to_owned(), (NOW - 4000).to_string());
        }
    }
}

/// Everybody, in one collector; `net` is the loopback network of the sidecars.
async fn world(faults: impl Iterator<Item = (Asked, Fault)>, net: &str) -> (Passes, Vec<Gateway>, Healthy) {
    let faulty: Vec<_> = faults.map(|fault| Gateway { fault: Some(fault), ..Gateway::default() }).collect();
    let mut healthy = Healthy { gateways: vec![], sidecars: vec![] };
    healthy.gateways.resize_with(4, Gateway::default);
    let (mut groups, mut pods) = (Vec::new(), Vec::new());
    for (nth, gateway) in faulty.iter().chain(&healthy.gateways).enumerate() {
        let spec = json!({"gateway": {"url": gateway.serve().await}, "staleAfter": "1h"});
        groups.push(push_group(&format!("gateway-{nth}"), spec));
    }
    groups.push(push_group("nightly", json!({"selector": {}, "staleAfter": "1h"})));
    for nth in 1..=4 {
        let address = format!("{net}.{nth}");
        healthy.sidecars.push(serve(&address, &[("old", 4000)], Fake::default()).await);
        pods.push(pod(&format!("healthy-{nth}"), &address));
    }
    (Passes::over(Cache::of(groups), pods), faulty, healthy)
}

#[tokio::test(start_paused = true)]
async fn others_are_collected_in_time_whatever_some_gateways_do() {
    let faults = faults().filter(|(wrong, fault)| !takes_real_time(*wrong, *fault));
    let (mut passes, faulty, healthy) = world(faults, "127.23.60").await;
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let watching = async {
        let started = Instant::now();
        healthy.are_collected().await;
        // There are more than there are places, and each faulty one costs its place once, for no longer than a visit takes.
        assert!(started.elapsed() <= Duration::from_secs(16), "{:?}", started.elapsed());

        // From then on they have places of their own, and cost nothing.
        tokio::time::sleep(Duration::from_secs(30)).await;
        healthy.have_old_groups();
        let again = Instant::now();
        healthy.are_collected().await;
        // The counts are renewed every ten seconds, more or less.
        assert!(again.elapsed() <= Duration::from_secs(13), "{:?}", again.elapsed());
    };
    collector.collect_until(agenda, stop, watching).await;
    for gateway in &faulty {
        let times = gateway.misbehaved.load(Ordering::Relaxed);
        // Without pauses that grow, each would have been asked some twenty times.
        assert!((1..=7).contains(&times), "{:?}: {times}", gateway.fault);
    }
}

#[tokio::test]
async fn others_are_collected_while_some_gateways_never_finish_telling_their_keys() {
    let faults = faults().filter(|(wrong, fault)| takes_real_time(*wrong, *fault));
    // Each eight times: as many as have places of their own.
    let faults: Vec<_> = faults.cycle().take(16).collect();
    let (mut passes, faulty, healthy) = world(faults.into_iter(), "127.23.61").await;
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let watching = async {
        let started = Instant::now();
        healthy.are_collected().await;
        while faulty.iter().any(|gateway| gateway.misbehaved.load(Ordering::Relaxed) == 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    };
    let started = Instant::now();
    collector.collect_until(agenda, stop, watching).await;
    // All visits have ended.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
