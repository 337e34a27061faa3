//! The ServiceMonitor of a gateway that exists already, for the gateway's own Service. Pure.
//!
//! It selects the Service by its labels, and of those the one with its name. A port is chosen by name, which is all that
//! a ServiceMonitor can do well: by number it chooses ports that containers declare.
//!
//! *Never:* the client, how the gateway is collected.

use crds::{push_group::GatewayService, scrape::Relabeling};
use k8s_openapi::{
    api::core::v1::{SecretKeySelector, Service},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use protocol::endpoints::METRICS_PATH;
use serde_json::Value;

use super::{
    Owner,
    api::{Authorization, BasicAuth, ServiceMonitor, ServiceMonitorSpec},
};
use crate::gateway::secret::{PASSWORD_KEY, Scheme, TOKEN_KEY, USERNAME_KEY};

/// How Prometheus is to prove itself to the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The Secret, in the namespace of the monitor.
    pub secret: &'a str,
    /// What is in it.
    pub scheme: Scheme,
}

/// A Service that no ServiceMonitor can be made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has no such port.
    #[error("expected port {port} in Service {service}, found {found}")]
    NoPort {
        /// The Service.
        service: String,
        /// The port.
        port: i32,
        /// Its ports.
        found: String,
    },
    /// Its port has no name.
    #[error("expected a name for port {port} of Service {service}, by which a ServiceMonitor chooses it, found none")]
    NoName {
        /// The Service.
        service: String,
        /// The port.
        port: i32,
    },
}

/// What a monitor that was made before says of its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name of the Service's port.
    pub port: String,
    /// How Prometheus proves itself.
    pub scheme: Option<Scheme>,
}

/// The ServiceMonitor.
#[must_use]
pub fn build(owner: &Owner<'_>, wanted: &GatewayService, port: &str, proof: Option<Proof<'_>>) -> ServiceMonitor {
    let mut endpoint = owner.endpoint();
    port.clone_into(&mut endpoint.port);
    endpoint.path = METRICS_PATH.to_owned();
    // Whether it exposes timestamps is its own affair.
    endpoint.honor_timestamps = true;
    endpoint.relabelings.insert(0, only(&wanted.name));
    if let Some(Proof { secret, scheme }) = proof {
        let select = |key: &str| SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
        match scheme {
            Scheme::Basic => {
                let (username, password) = (select(USERNAME_KEY), select(PASSWORD_KEY));
                endpoint.basic_auth = Some(BasicAuth { username, password });
            }
            Scheme::Bearer => endpoint.authorization = Some(Authorization { credentials: select(TOKEN_KEY) }),
        }
    }
    ServiceMonitor {
        metadata: owner.monitor_metadata(),
        spec: ServiceMonitorSpec {
            // All of the namespace: labels of a Service change with each release of its chart, its name does not.
            selector: LabelSelector::default(),
            endpoints: vec![endpoint],
            service_discovery_role: Some(owner.scrape.service_discovery_role),
            limits: owner.limits(),
        },
    }
}

/// Reads a monitor; nothing from one that is not of this gateway, as that of the sidecars is.
#[must_use]
pub fn known(monitor: &Value, wanted: &GatewayService) -> Option<Known> {
    let endpoint = monitor.pointer("/spec/endpoints/0")?;
    let (first, only) = (endpoint.pointer("/relabelings/0")?, serde_json::to_value(only(&wanted.name)).ok()?);
    let is_same = |field: &str| first.get(field).is_some() && first.get(field) == only.get(field);
    if !is_same("sourceLabels") || !is_same("regex") {
        return None;
    }
    let has = |field: &str| endpoint.get(field).is_some_and(|field| !field.is_null());
    let scheme = match (has("basicAuth"), has("authorization")) {
        (true, _) => Some(Scheme::Basic),
        (false, true) => Some(Scheme::Bearer),
        (false, false) => None,
    };
    Some(Known { port: endpoint.get("port")?.as_str()?.to_owned(), scheme })
}

/// By what name a ServiceMonitor chooses the gateway's port.
///
/// # Errors
/// When the Service has no such port, or it has no name.
pub fn port_name(wanted: &GatewayService, service: &Service) -> Result<String, Unfit> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let Some(port) = ports.iter().find(|port| port.port == wanted.port) else {
        let found: Vec<_> = ports.iter().map(|port| port.port.to_string()).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        return Err(Unfit::NoPort { service: wanted.name.clone(), port: wanted.port, found });
    };
    let name = port.name.clone().filter(|name| !name.is_empty());
    name.ok_or_else(|| Unfit::NoName { service: wanted.name.clone(), port: wanted.port })
}

/// Of all Services of the namespace.
fn only(service: &str) -> Relabeling {
    Relabeling {
        action: Some("keep".to_owned()),
        source_labels: vec!["__meta_kubernetes_service_name".to_owned()],
        // Of a DNS label, nothing else means something in an expression.
        regex: Some(service.replace('.', "\\.")),
        ..Relabeling::default()
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        golden,
        monitors::{service_monitor, tests::group},
    };

    fn monitor(service: Value, proof: Option<Proof<'_>>) -> Result<ServiceMonitor, Unfit> {
        let group = group();
        let wanted = GatewayService { name: "pushgateway".to_owned(), port: 9091 };
        let port = port_name(&wanted, &serde_json::from_value(service).unwrap())?;
        Ok(build(&Owner::of(&group).unwrap(), &wanted, &port, proof))
    }

    fn service(ports: Value) -> Value {
        json!({"metadata": {"name": "pushgateway", "labels": {"app": "pg"}}, "spec": {"ports": ports}})
    }

    #[test]
    fn it_is_the_golden_one() {
        let ports = json!([{"name": "admin", "port": 80}, {"name": "http", "port": 9091}]);
        golden::check("gateway-monitor.yaml", &monitor(service(ports), None).unwrap());
    }

    #[test]
    fn prometheus_proves_itself_by_the_same_secret() {
        let endpoint = |scheme| {
            let proof = Some(Proof { secret: "pg", scheme });
            let monitor = monitor(service(json!([{"name": "http", "port": 9091}])), proof).unwrap();
            serde_json::to_value(&monitor.spec.endpoints[0]).unwrap()
        };
        let basic = endpoint(Scheme::Basic);
        assert_eq!(basic["basicAuth"]["password"], json!({"name": "pg", "key": "password"}));
        assert_eq!(basic["basicAuth"]["username"], json!({"name": "pg", "key": "username"}));
        let bearer = endpoint(Scheme::Bearer);
        assert_eq!(bearer["authorization"], json!({"credentials": {"name": "pg", "key": "token"}}));
        assert_eq!(bearer.get("basicAuth"), None);
    }

    #[test]
    fn a_monitor_that_stands_says_what_it_was_made_by() {
        let known = |monitor: &ServiceMonitor, service: &str| {
            let wanted = GatewayService { name: service.to_owned(), port: 1 };
            known(&serde_json::to_value(monitor).unwrap(), &wanted)
        };
        for scheme in [None, Some(Scheme::Basic), Some(Scheme::Bearer)] {
            let proof = scheme.map(|scheme| Proof { secret: "pg", scheme });
            let monitor = monitor(service(json!([{"name": "http", "port": 9091}])), proof).unwrap();
            assert_eq!(known(&monitor, "pushgateway"), Some(Known { port: "http".to_owned(), scheme }));
            assert_eq!(known(&monitor, "another"), None);
        }
        let group = group();
        let of_sidecars = service_monitor::build(&Owner::of(&group).unwrap());
        assert_eq!(known(&of_sidecars, "pushgateway"), None);
    }

    #[test]
    fn a_service_that_does_not_fit_is_told_in_a_sentence() {
        let unfit = |ports| monitor(service(ports), None).unwrap_err().to_string();
        assert_eq!(unfit(json!([])), "expected port 9091 in Service pushgateway, found none");
        let two = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
        assert_eq!(unfit(two), "expected port 9091 in Service pushgateway, found 1, 2");
        let unnamed = "expected a name for port 9091 of Service pushgateway, by which a ServiceMonitor chooses it, \
                       found none";
        assert_eq!(unfit(json!([{"port": 9091}])), unnamed);
    }
}
