//! Reads what the monitor of a gateway is made from: its Service, and how its Secret proves who shows it.
//!
//! *Never:* the gateway itself, which is `gc`'s.

use crds::{PushGroup, push_group::GatewayService, scrape::MonitorKind};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};

use crate::{
    gateway::secret::scheme,
    monitors::{
        Owner,
        api::ServiceMonitor,
        gateway_monitor::{self, Proof},
    },
};

/// The monitor of a gateway, as far as it can be made.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayMonitor {
    /// None is wanted.
    NotWanted,
    /// It is to be like this.
    Wanted(Box<ServiceMonitor>),
    /// It cannot be made; what was expected and found.
    Unfit(String),
}

/// Reads the Service, and the Secret if there is one, and makes the monitor.
///
/// # Errors
/// When the API server does not say; that something is not there or may not be read is an answer.
pub async fn monitor(client: &Client, owner: &Owner<'_>, group: &PushGroup) -> Result<GatewayMonitor, kube::Error> {
    let gateway = group.spec.gateway.as_ref();
    let Some(wanted) = gateway.and_then(|gateway| gateway.service.as_ref()) else {
        return Ok(GatewayMonitor::NotWanted);
    };
    match group.spec.monitor_kind() {
        MonitorKind::ServiceMonitor => {}
        MonitorKind::PodMonitor | MonitorKind::None => return Ok(GatewayMonitor::NotWanted),
    }
    let services = Api::<Service>::namespaced(client.clone(), owner.namespace);
    let Some(service) = services.get_opt(&wanted.name).await? else {
        return Ok(GatewayMonitor::Unfit(no_service(wanted)));
    };
    let name = gateway.and_then(|gateway| gateway.auth.as_ref()).map(|auth| auth.secret_name.as_str());
    let proof = match name {
        None => None,
        Some(name) => {
            let secrets = Api::<Secret>::namespaced(client.clone(), owner.namespace);
            let secret = match secrets.get(name).await {
                Ok(secret) => secret,
                Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                    return Ok(GatewayMonitor::Unfit(no_secret(name)));
                }
                Err(error) => return Err(error),
            };
            match scheme(&secret) {
                Ok(scheme) => scheme.map(|scheme| Proof { secret: name, scheme }),
                Err(error) => return Ok(GatewayMonitor::Unfit(error.to_string())),
            }
        }
    };
    Ok(match gateway_monitor::build(owner, wanted, &service, proof) {
        Ok(monitor) => GatewayMonitor::Wanted(Box::new(monitor)),
        Err(unfit) => GatewayMonitor::Unfit(unfit.to_string()),
    })
}

fn no_service(wanted: &GatewayService) -> String {
    format!("expected the Service {} of spec.gateway.service in this namespace, found none", wanted.name)
}

fn no_secret(name: &str) -> String {
    format!(
        "the Secret {name} cannot be read, which says how Prometheus is to prove itself: see the condition \
         GatewayReachable"
    )
}
