//! Reads what the monitor of a gateway is made from: its Service, and how its Secret proves who shows it.
//!
//! Where one of them cannot be read any more, or does not fit, the monitor that stands says what they said when it was
//! made: so it stays, and follows what else is asked for.
//!
//! *Never:* the gateway itself, which is `gc`'s.

use crds::{PushGroup, push_group::GatewayService, scrape::MonitorKind};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client, ResourceExt as _};

use super::{
    apply::objects,
    observe::{Existing, Found},
};
use crate::{
    gateway::secret::{Scheme, scheme},
    monitors::{
        Owner,
        api::ServiceMonitor,
        gateway_monitor::{self, Known, Proof},
    },
};

/// The monitor of a gateway, as far as it can be made.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayMonitor {
    /// None is wanted.
    NotWanted,
    /// It is to be like this.
    Wanted(Box<ServiceMonitor>),
    /// It cannot be made as it is asked for.
    Unfit {
        /// What was expected and found.
        what: String,
        /// The one that stands, as it is to be by what was known before.
        standing: Option<Box<ServiceMonitor>>,
    },
}

/// Reads the Service, and the Secret if there is one, and makes the monitor.
///
/// # Errors
/// When the API server does not say; that something is not there or may not be read is an answer.
pub async fn monitor(
    client: &Client,
    owner: &Owner<'_>,
    group: &PushGroup,
    existing: &Existing,
) -> Result<GatewayMonitor, kube::Error> {
    let gateway = group.spec.gateway.as_ref();
    let Some(wanted) = gateway.and_then(|gateway| gateway.service.as_ref()) else {
        return Ok(GatewayMonitor::NotWanted);
    };
    match group.spec.monitor_kind() {
        MonitorKind::ServiceMonitor => {}
        MonitorKind::PodMonitor | MonitorKind::None => return Ok(GatewayMonitor::NotWanted),
    }
    let secret = gateway.and_then(|gateway| gateway.auth.as_ref()).map(|auth| auth.secret_name.as_str());
    let port = read_port(client, owner, wanted).await?;
    let scheme = read_scheme(client, owner, secret).await?;
    let build = |port: &str, scheme: Option<Scheme>| {
        let proof = secret.zip(scheme).map(|(secret, scheme)| Proof { secret, scheme });
        Box::new(gateway_monitor::build(owner, wanted, port, proof))
    };
    let what = match (&port, &scheme) {
        (Ok(port), Ok(scheme)) => return Ok(GatewayMonitor::Wanted(build(port, *scheme))),
        (Err(what), _) | (Ok(_), Err(what)) => what.clone(),
    };
    let known = known(client, owner, wanted, &existing.service_monitor).await?;
    let standing = known.map(|known| build(&port.unwrap_or(known.port), scheme.unwrap_or(known.scheme)));
    Ok(GatewayMonitor::Unfit { what, standing })
}

/// The name of the Service's port, or why there is none.
async fn read_port(
    client: &Client,
    owner: &Owner<'_>,
    wanted: &GatewayService,
) -> Result<Result<String, String>, kube::Error> {
    let services = Api::<Service>::namespaced(client.clone(), owner.namespace);
    Ok(match services.get_opt(&wanted.name).await? {
        Some(service) => gateway_monitor::port_name(wanted, &service).map_err(|unfit| unfit.to_string()),
        None => Err(no_service(wanted)),
    })
}

/// How the Secret proves who shows it, or why that cannot be told.
async fn read_scheme(
    client: &Client,
    owner: &Owner<'_>,
    secret: Option<&str>,
) -> Result<Result<Option<Scheme>, String>, kube::Error> {
    let Some(name) = secret else { return Ok(Ok(None)) };
    let secrets = Api::<Secret>::namespaced(client.clone(), owner.namespace);
    match secrets.get(name).await {
        Ok(secret) => Ok(scheme(&secret).map_err(|error| error.to_string())),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(Err(no_secret(name))),
        Err(error) => Err(error),
    }
}

/// What the monitor there is says of the gateway.
async fn known(
    client: &Client,
    owner: &Owner<'_>,
    wanted: &GatewayService,
    found: &Found,
) -> Result<Option<Known>, kube::Error> {
    let Found::Ours { seen, .. } = found else { return Ok(None) };
    let live = objects::<ServiceMonitor>(client, owner).get_opt(&owner.object_name()).await?;
    let live = live.filter(|live| live.uid().as_ref() == Some(&seen.uid));
    Ok(live.and_then(|live| gateway_monitor::known(&live.data, wanted)))
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
