//! The Sidegate operator: injects sidecars, makes monitors, collects stale groups.
//!
//! Four parts run side by side and share two caches, the `PushGroup`s and the injected pods; [`app`] starts them.
//!
//! ```text
//!                  ┌─────────────── caches: PushGroups, injected pods ───────────────┐
//!                  ▼                              ▼                                  ▼
//! API server ─▶ injection            controller: observe ─ plan ─ apply ◀─report─ gc: read ─ decide ─ delete
//!  (a pod)      decide ─ container ─ patch        │                                  │
//!                                                 ▼                                  ▼
//!                              Service, monitor, trust, status            sidecars, gateways
//! ```
//!
//! | Module | Owns |
//! | --- | --- |
//! | [`args`], [`config`] | flags; flags made ready, all mistakes at once |
//! | [`app`] | what is started, in which order, and how it ends |
//! | [`leader`] | which replica reconciles and collects, and until when it may write |
//! | [`injection`] | the admission webhook: which pods get a sidecar, and the patch |
//! | [`offline`] | the same to manifests, without a cluster |
//! | [`audit`] | pods that ask for a sidecar and have none |
//! | [`certs`] | the webhook's certificate and the trust in it |
//! | [`controller`] | reconciling a `PushGroup`: objects and status |
//! | [`monitors`] | Service, ServiceMonitor, PodMonitor and NetworkPolicy as objects, and which Prometheus takes the monitors |
//! | [`gc`] | the passes over all sidecars and gateways, and what is stale |
//! | [`sidecar`] | talking to one sidecar |
//! | [`events`] | Kubernetes Events about objects |
//! | [`gateway`] | talking to a Pushgateway that exists already |
//! | [`long_pages`] | room for what targets answer |
//! | [`signing`] | the key that signs deletions |
//! | [`discovery`] | sidecars as a plain Prometheus discovers them |
//! | [`admin`], [`readiness`], [`metrics`], [`telemetry`] | health, numbers, log |
//! | [`api_client`], [`scope`], [`floor`] | requests to the API server: counted, fenced; in which namespaces; how old it may be |
//! | [`cache`], [`hearing`], [`optional`] | watched objects; how long ago they were told of; kinds that may not be there |
//! | [`clock`], [`listen`], [`retry`], [`stop`] | time, sockets, patience, the end |
//!
//! Invariants: pure centres (`decide`, `container`, `patch`, `plan`, `status`, `policy`, `issue`) take `now` and do no
//! I/O; there is one writer of each object, by one field manager each; collection never writes to the API server and
//! reconciling never talks to a sidecar. Every replica admits pods and watches; only the leader reconciles and collects.
//!
//! *Never:* how a sidecar stores or serves anything; the contract with it is the crate `protocol`.

pub mod admin;
pub mod api_client;
pub mod app;
pub mod args;
pub mod audit;
pub mod cache;
pub mod certs;
pub mod clock;
pub mod config;
pub mod controller;
pub mod discovery;
pub mod events;
pub mod floor;
pub mod gateway;
pub mod gc;
#[cfg(test)]
mod golden;
pub mod hearing;
pub mod injection;
pub mod labels;
pub mod leader;
pub mod listen;
pub mod long_pages;
pub mod metrics;
pub mod monitors;
pub mod offline;
pub mod optional;
pub mod readiness;
pub mod retry;
pub mod scope;
pub mod serving;
pub mod sidecar;
pub mod signing;
pub mod stop;
pub mod telemetry;
