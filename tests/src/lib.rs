//! A real one-node Kubernetes for the end-to-end tests and the demo, and what both do with it.
//!
//! | Module | Owns |
//! | --- | --- |
//! | [`parts`] | the programs of a cluster: found, or built into a cache |
//! | [`image`] | container images, packed without a container engine |
//! | [`cluster`] | one Kubernetes node: started in seconds, gone with the process that started it |
//! | [`control_plane`] | API server and etcd alone, for thousands of pods that nobody runs |
//! | [`pods`] | such pods, and their sidecars as one server |
//! | [`kubectl`] | `kubectl` and `helm`, as a user calls them |
//! | [`mod@reference`] | a real Pushgateway to compare ours with |
//! | [`binaries`] | our two programs, as cargo built them |
//! | [`install`] | Sidegate by its chart; the Prometheus Operator with a Prometheus |
//! | [`prometheus`] | questions to a Prometheus, of this machine or in a cluster |
//! | [`process`] | a program of this machine that ends with this process |
//! | [`client`] | HTTP to such a program |
//! | [`connection`] | the same, many requests on a connection |
//! | [`wire`] | protobuf messages, to push them |
//! | [`sandbox`] | a namespace per test, and a dump when it fails |
//! | [`demo`] | `cargo demo` |
//! | [`gateway_bench`] | `cargo gateway-bench` |
//! | [`scale_bench`] | `cargo scale-bench`, and the facts of it that a test holds |
//! | `measuring` | what both benchmarks share |
//! | [`wait`] | waiting for a condition; the only place that sleeps |
//!
//! *Never:* the insides of either program; both are run as users run them.

pub mod binaries;
pub mod client;
pub mod cluster;
pub mod connection;
pub mod control_plane;
pub mod demo;
pub mod gateway_bench;
pub mod image;
pub mod install;
pub mod kubectl;
mod measuring;
pub mod parts;
pub mod pods;
pub mod process;
pub mod prometheus;
pub mod reference;
pub mod sandbox;
pub mod scale_bench;
pub mod wait;
pub mod wire;
