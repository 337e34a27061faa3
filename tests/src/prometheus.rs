//! Questions to a Prometheus: one of this machine, or one in a cluster. Those to a cluster's are carried by the API
//! server, so that they work wherever it is.
//!
//! *Never:* how Prometheus came to be there.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{client::call, wait};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A Prometheus that answers.
#[derive(Clone)]
pub struct Prometheus(Place);

#[derive(Clone)]
enum Place {
    Here(SocketAddr),
    Pod { client: Client, namespace: String, pod: String },
}

/// A series and its newest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// All labels, `__name__` included.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    error: Option<String>,
    data: Option<T>,
}

#[derive(Deserialize)]
struct QueryResult {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScrapePools {
    scrape_pools: Vec<String>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

// === impl Prometheus ===

impl Prometheus {
    /// The Prometheus in a pod.
    #[must_use]
    pub fn new(client: Client, namespace: &str, pod: &str) -> Self {
        Self(Place::Pod { client, namespace: namespace.to_owned(), pod: pod.to_owned() })
    }

    /// The Prometheus at an address of this machine.
    #[must_use]
    pub fn here(address: SocketAddr) -> Self {
        Self(Place::Here(address))
    }

    /// The one that [`crate::install::prepare_prometheus`] installs.
    #[must_use]
    pub fn installed(client: Client) -> Self {
        Self::new(client, "monitoring", "prometheus-main-0")
    }

    /// Namespace and name of its pod, if it has one.
    #[must_use]
    pub fn pod(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Place::Here(_) => None,
            Place::Pod { namespace, pod, .. } => Some((namespace, pod)),
        }
    }

    /// The series that a selector or an expression has now.
    ///
    /// # Errors
    /// When Prometheus cannot be asked, or refuses the expression.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Series>> {
        let question = format!("query?query={}", encoded(expression));
        let answer: QueryResult = self.ask(&question).await.context(expression.to_owned())?;
        let series = |sample: Sample| Ok(Series { value: sample.value.1.parse()?, labels: sample.metric });
        answer.result.into_iter().map(series).collect()
    }

    /// The names of the scrape jobs it knows: `serviceMonitor/NAMESPACE/NAME/0` for one made from a ServiceMonitor.
    ///
    /// # Errors
    /// When Prometheus cannot be asked.
    pub async fn scrape_pools(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.ask::<ScrapePools>("scrape_pools").await?.scrape_pools)
    }

    /// The data of an answer of the API, by the part of the URL after `/api/v1/`.
    ///
    /// # Errors
    /// When Prometheus cannot be asked, or answers with an error.
    pub async fn ask<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        let answer: Answer<T> = match &self.0 {
            Place::Here(address) => {
                let (address, path) = (*address, format!("/api/v1/{what}"));
                let answer = tokio::task::spawn_blocking(move || call(address, "GET", &path, &[], b"")).await;
                serde_json::from_slice(&answer?.context("asking Prometheus")?.body)?
            }
            Place::Pod { client, namespace, pod } => {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:9090/proxy/api/v1/{what}");
                let request = http::Request::get(path).body(Vec::new())?;
                wait::answer(ANSWER_LIMIT, client.request(request)).await.context("asking Prometheus")?
            }
        };
        match answer.data.filter(|_| answer.status == "success") {
            Some(data) => Ok(data),
            None => bail!("Prometheus: {}", answer.error.unwrap_or_default()),
        }
    }
}

/// A text as it stands in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

// === impl Series ===

impl Series {
    /// The value of a label; empty where it has none, as Prometheus sees it.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map(String::as_str).unwrap_or_default()
    }
}
