//! The programs a cluster is made of: found where the user says, else in the cache, else built or installed.
//!
//! Each program is looked for by name in `SIDEGATE_PARTS`, then `KUBEBUILDER_ASSETS` (both flat folders), then in the
//! cache, which has a folder per part, keyed by version and by the module that builds it. What is in none of them is
//! built from the Go modules in `tests/cluster`, or installed from Debian's packages. Those folders are for the newest
//! Kubernetes: programs of the oldest are always our own.
//!
//! *Never:* how the programs are run.

mod build;
pub(crate) mod package;
pub(crate) mod progress;

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// The releases of Kubernetes that a cluster may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kubernetes {
    /// The one that is meant where nothing else is said.
    #[default]
    Newest,
    /// The floor of the operator and of the chart.
    Oldest,
}

/// Programs that come from one Go module.
struct GoPart {
    /// The folder in `tests/cluster`.
    name: &'static str,
    version: &'static str,
    packages: &'static [&'static str],
    /// Linker settings besides the usual ones: how each program learns its version.
    link: &'static str,
    /// File names as the build makes them.
    programs: &'static [&'static str],
    /// Other names of the first program.
    links: &'static [&'static str],
    /// A folder of the named module that is kept beside the programs.
    files: Option<(&'static str, &'static str)>,
}

const KUBE: GoPart = GoPart {
    name: "kube",
    version: "v1.36.3",
    packages: &["."],
    link: "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
           -X k8s.io/component-base/version.gitMinor=36",
    programs: &["kube"],
    links: &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"],
    files: None,
};

const OLDEST_KUBE: GoPart = GoPart {
    name: "kube-1.33",
    version: "v1.33.13",
    link: "-X k8s.io/component-base/version.gitVersion=v1.33.13 -X k8s.io/component-base/version.gitMajor=1 \
           -X k8s.io/component-base/version.gitMinor=33",
    programs: &["kube-1.33"],
    ..KUBE
};

/// What a cluster has beside Kubernetes itself.
const BESIDE_KUBE: [GoPart; 6] = [
    GoPart {
        name: "containerd",
        version: "v2.4.2",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        link: "-X github.com/containerd/containerd/v2/version.Version=v2.4.2",
        programs: &["containerd", "containerd-shim-runc-v2", "ctr"],
        links: &[],
        files: None,
    },
    GoPart {
        name: "coredns",
        version: "v1.15.0",
        packages: &["."],
        link: "",
        programs: &["coredns"],
        links: &[],
        files: None,
    },
    GoPart { name: "pause", version: "v1", packages: &["."], link: "", programs: &["pause"], links: &[], files: None },
    HELM,
    PROMETHEUS_OPERATOR,
    PROMETHEUS,
];

const HELM: GoPart = GoPart {
    name: "helm",
    version: "v3.22.0",
    packages: &["helm.sh/helm/v3/cmd/helm"],
    link: "-X helm.sh/helm/v3/internal/version.version=v3.22.0",
    programs: &["helm"],
    links: &[],
    files: None,
};

const PROMETHEUS_OPERATOR: GoPart = GoPart {
    name: "prometheus-operator",
    version: "v0.93.0",
    packages: &[
        "github.com/prometheus-operator/prometheus-operator/cmd/operator",
        "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
    ],
    link: "-X github.com/prometheus/common/version.Version=0.93.0",
    programs: &["operator", "prometheus-config-reloader"],
    links: &[],
    files: Some(("github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd")),
};

const PROMETHEUS: GoPart = GoPart {
    name: "prometheus",
    version: "v0.315.0",
    packages: &["github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"],
    link: "-X github.com/prometheus/common/version.Version=3.15.0",
    programs: &["prometheus", "promtool"],
    links: &[],
    files: None,
};

/// What one test needs, and no cluster.
const CERT_MANAGER: GoPart = GoPart {
    name: "cert-manager",
    version: "v1.21.2",
    packages: &["."],
    link: "-X github.com/cert-manager/cert-manager/pkg/util.AppVersion=v1.21.2",
    programs: &["cert-manager"],
    links: &[],
    files: Some(("github.com/cert-manager/cert-manager", "deploy/crds")),
};

/// A file that a Debian package brings.
struct DebianPart {
    package: &'static str,
    file: &'static str,
}

const DEBIAN_PARTS: [DebianPart; 4] = [
    DebianPart { package: "runc", file: "/usr/sbin/runc" },
    DebianPart { package: "containernetworking-plugins", file: "/usr/lib/cni/bridge" },
    DebianPart { package: "iproute2", file: "/usr/sbin/ip" },
    DebianPart { package: "busybox-static", file: "/usr/bin/busybox" },
];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Parts {
    kubernetes: Kubernetes,
    folders: Vec<PathBuf>,
    cache: PathBuf,
}

/// Why no cluster can run here; `None` where one can.
#[must_use]
pub fn why_not() -> Option<String> {
    why_not_on(Kubernetes::Newest)
}

/// Why no cluster of a release can run here; `None` where one can.
#[must_use]
pub fn why_not_on(kubernetes: Kubernetes) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a cluster needs Linux".to_owned());
    }
    if fs::metadata("/proc/self").map_or(1, |metadata| metadata.uid()) != 0 {
        return Some("a cluster needs root: it makes namespaces and mounts".to_owned());
    }
    let namespaces = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "true"];
    let made = Command::new("unshare").args(namespaces).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        return Some("a cluster needs `unshare` and the right to make namespaces".to_owned());
    }
    let without_go = why_not_built(kubernetes, kubernetes.parts());
    if without_go.is_some() {
        return without_go;
    }
    let missing: Vec<&str> = missing_packages().map(|part| part.package).collect();
    if !missing.is_empty() && !runs("apt-get", &["--version"]) {
        return Some(format!("a cluster needs these Debian packages, or what they hold: {}", missing.join(", ")));
    }
    None
}

/// Why Prometheus and promtool cannot run here; `None` where they can. They need no rights and no namespaces.
#[must_use]
pub fn why_no_prometheus() -> Option<String> {
    why_not_built(Kubernetes::Newest, [&PROMETHEUS])
}

/// Why helm cannot run here; `None` where it can. It needs no rights either.
#[must_use]
pub fn why_no_helm() -> Option<String> {
    why_not_built(Kubernetes::Newest, [&HELM])
}

/// Why cert-manager cannot run in a cluster here; `None` where it can.
#[must_use]
pub fn why_no_cert_manager() -> Option<String> {
    why_not_built(Kubernetes::Newest, [&CERT_MANAGER])
}

fn why_not_built<'a>(kubernetes: Kubernetes, needed: impl IntoIterator<Item = &'a GoPart>) -> Option<String> {
    let parts = Parts::locate_on(kubernetes).ok()?;
    let missing: Vec<&str> = needed.into_iter().filter(|part| !parts.has(part)).map(|part| part.name).collect();
    let cannot = !missing.is_empty() && !runs("go", &["version"]);
    cannot.then(|| format!("Go is needed to build these parts: {}", missing.join(", ")))
}

/// What becomes of a test that cannot run here, for a reason: it is ignored with that reason.
///
/// # Errors
/// In CI, where every test has to run.
pub fn excuse(reason: Option<String>) -> anyhow::Result<Option<String>> {
    match reason {
        Some(reason) if env::var_os("CI").is_some() => bail!("in CI every test has to run, but {reason}"),
        reason => Ok(reason),
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Newest, Self::Oldest];

    /// Its number, as it tells it.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.part().version
    }

    fn part(self) -> &'static GoPart {
        match self {
            Self::Newest => &KUBE,
            Self::Oldest => &OLDEST_KUBE,
        }
    }

    /// All that a cluster of this release needs.
    fn parts(self) -> impl Iterator<Item = &'static GoPart> {
        [self.part()].into_iter().chain(&BESIDE_KUBE)
    }
}

// === impl Parts ===

impl Parts {
    /// Finds all parts, and builds or installs those that are nowhere. Says on standard error what takes how long.
    ///
    /// # Errors
    /// When a part cannot be built or installed.
    pub fn find_or_build() -> anyhow::Result<Self> {
        Self::find_or_build_on(Kubernetes::Newest)
    }

    /// The same for a release of Kubernetes, of which every program will be.
    ///
    /// # Errors
    /// When a part cannot be built or installed.
    pub fn find_or_build_on(kubernetes: Kubernetes) -> anyhow::Result<Self> {
        let parts = Self::locate_on(kubernetes)?;
        let missing: Vec<&DebianPart> = missing_packages().collect();
        if !missing.is_empty() {
            let packages: Vec<&str> = missing.iter().map(|part| part.package).collect();
            build::install_packages(&packages)?;
            if let Some(part) = missing_packages().next() {
                bail!("expected {} from the Debian package {}, found no such file", part.file, part.package);
            }
        }
        parts.build_missing(kubernetes.parts())?;
        Ok(parts)
    }

    /// Finds Prometheus and promtool, and builds them if they are nowhere.
    ///
    /// # Errors
    /// When they cannot be built.
    pub fn find_or_build_prometheus() -> anyhow::Result<Self> {
        let parts = Self::locate()?;
        parts.build_missing([&PROMETHEUS])?;
        Ok(parts)
    }

    /// Finds helm, and builds it if it is nowhere.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn find_or_build_helm() -> anyhow::Result<Self> {
        let parts = Self::locate()?;
        parts.build_missing([&HELM])?;
        Ok(parts)
    }

    /// Finds cert-manager, and builds it if it is nowhere.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn find_or_build_cert_manager() -> anyhow::Result<Self> {
        let parts = Self::locate()?;
        parts.build_missing([&CERT_MANAGER])?;
        Ok(parts)
    }

    fn build_missing<'a>(&self, needed: impl IntoIterator<Item = &'a GoPart>) -> anyhow::Result<()> {
        let mut missing = needed.into_iter().filter(|part| !self.has(part));
        missing.try_for_each(|part| build::build(part, &self.folder(part)?))
    }

    /// The file of a program.
    ///
    /// # Errors
    /// When it is in no folder.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.find(name)?.with_context(|| format!("{name} is in none of {:?}", self.folders))
    }

    /// The folder with the CRDs of the Prometheus Operator.
    ///
    /// # Errors
    /// When it is in no folder.
    pub fn monitoring_crds(&self) -> anyhow::Result<PathBuf> {
        self.crds(&PROMETHEUS_OPERATOR)
    }

    /// The folder with the CRDs of cert-manager.
    ///
    /// # Errors
    /// When it is in no folder.
    pub fn cert_manager_crds(&self) -> anyhow::Result<PathBuf> {
        self.crds(&CERT_MANAGER)
    }

    fn crds(&self, part: &GoPart) -> anyhow::Result<PathBuf> {
        let cached = self.folder(part)?.join("files");
        let given = format!("{}-crd", part.name);
        let mut places = self.folders.iter().map(|folder| folder.join(&given)).chain([cached]);
        places.find(|place| place.is_dir()).with_context(|| format!("expected the CRDs of {}", part.name))
    }

    /// The files of Prometheus' page, which no Go module brings; built with npm. `None` where there is no npm.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn prometheus_page(&self) -> anyhow::Result<Option<PathBuf>> {
        let folder = self.cache.join(format!("prometheus-page-{}", PROMETHEUS.version));
        if !folder.is_dir() {
            if !runs("npm", &["--version"]) {
                return Ok(None);
            }
            build::build_page(&PROMETHEUS, &folder)?;
        }
        Ok(Some(folder))
    }

    /// The folder of the CNI plugins.
    #[must_use]
    pub fn cni_plugins(&self) -> &'static Path {
        Path::new("/usr/lib/cni")
    }

    /// runc.
    #[must_use]
    pub fn runc(&self) -> &'static Path {
        Path::new("/usr/sbin/runc")
    }

    /// busybox, static.
    #[must_use]
    pub fn busybox(&self) -> &'static Path {
        Path::new("/usr/bin/busybox")
    }

    /// A program that no cluster needs: in a named folder, else in a folder of the cache, which is filled once.
    pub(crate) fn find_or_make(
        &self,
        program: &str,
        folder: &str,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        if let Some(file) = self.folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file()) {
            return Ok(file);
        }
        let folder = self.cache.join(folder);
        build::once(&folder, make)?;
        Ok(folder.join(program))
    }

    pub(crate) fn locate() -> anyhow::Result<Self> {
        Self::locate_on(Kubernetes::Newest)
    }

    fn locate_on(kubernetes: Kubernetes) -> anyhow::Result<Self> {
        let given = ["SIDEGATE_PARTS", "KUBEBUILDER_ASSETS"].into_iter().filter_map(env::var_os).map(PathBuf::from);
        let home = |suffix: &str| env::var_os("HOME").map(|home| PathBuf::from(home).join(suffix));
        let cache = env::var_os("XDG_CACHE_HOME").filter(|path: &OsString| !path.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| home(".cache")).context("expected XDG_CACHE_HOME or HOME, found neither")?;
        Ok(Self { kubernetes, folders: given.collect(), cache: cache.join("sidegate/parts") })
    }

    fn folder(&self, part: &GoPart) -> anyhow::Result<PathBuf> {
        Ok(self.cache.join(format!("{}-{}-{}", part.name, part.version, build::fingerprint(part)?)))
    }

    fn find(&self, name: &str) -> anyhow::Result<Option<PathBuf>> {
        let has = |part: &&GoPart| part.programs.contains(&name) || part.links.contains(&name);
        let cached =
            self.kubernetes.parts().chain([&CERT_MANAGER]).find(has).map(|part| self.folder(part)).transpose()?;
        // A named folder does not say which release it has: the newest is meant.
        let may_be_given = self.kubernetes == Kubernetes::Newest || !has(&self.kubernetes.part());
        let given = self.folders.iter().filter(|_| may_be_given).cloned();
        let places = given.chain(cached);
        Ok(places.map(|folder| folder.join(name)).find(|file| file.is_file()))
    }

    fn has(&self, part: &GoPart) -> bool {
        let programs: &[&str] = if part.links.is_empty() { part.programs } else { part.links };
        programs.iter().all(|name| self.find(name).is_ok_and(|file| file.is_some()))
    }
}

fn missing_packages() -> impl Iterator<Item = &'static DebianPart> {
    DEBIAN_PARTS.iter().filter(|part| !Path::new(part.file).exists())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file of each name, which goes with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[&str]) -> Self {
            let folder = env::temp_dir().join(format!("sidegate-parts-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|file| fs::write(folder.join(file), "").unwrap());
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_named_folder_goes_before_the_next_and_before_the_cache() {
        let (first, second) = (Folder::with("first", &["etcd"]), Folder::with("second", &["etcd", "kubectl"]));
        let cache = Folder::with("cache", &[]);
        let parts = Parts {
            kubernetes: Kubernetes::Newest,
            folders: vec![first.0.clone(), second.0.clone()],
            cache: cache.0.clone(),
        };
        let kube = parts.folder(&KUBE).unwrap();
        fs::create_dir_all(&kube).unwrap();
        ["etcd", "kubectl", "kubelet"].iter().for_each(|file| fs::write(kube.join(file), "").unwrap());
        assert_eq!(parts.program("etcd").unwrap(), first.0.join("etcd"));
        assert_eq!(parts.program("kubectl").unwrap(), second.0.join("kubectl"));
        assert_eq!(parts.program("kubelet").unwrap(), kube.join("kubelet"));
        assert!(parts.program("containerd").is_err());
    }

    #[test]
    fn programs_of_the_oldest_release_are_of_no_named_folder() {
        let (named, cache) = (Folder::with("named", &["kubectl", "helm"]), Folder::with("other-cache", &[]));
        let parts = Parts { kubernetes: Kubernetes::Oldest, folders: vec![named.0.clone()], cache: cache.0.clone() };
        assert!(parts.program("kubectl").is_err());
        let kube = parts.folder(&OLDEST_KUBE).unwrap();
        fs::create_dir_all(&kube).unwrap();
        fs::write(kube.join("kubectl"), "").unwrap();
        assert_eq!(parts.program("kubectl").unwrap(), kube.join("kubectl"));
        assert_eq!(parts.program("helm").unwrap(), named.0.join("helm"));
    }

    #[test]
    fn a_part_is_keyed_by_version_and_by_what_builds_it() {
        let cache = Folder::with("keys", &[]);
        let parts = Parts { kubernetes: Kubernetes::Newest, folders: Vec::new(), cache: cache.0.clone() };
        for (part, start) in [(KUBE, "kube-v1.36.3-"), (OLDEST_KUBE, "kube-1.33-v1.33.13-")] {
            let folder = parts.folder(&part).unwrap();
            let name = folder.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(start) && name.len() == start.len() + 8, "{name}");
            let other = GoPart { link: "-X other=1", ..part };
            assert_ne!(parts.folder(&other).unwrap(), folder);
        }
    }
}
