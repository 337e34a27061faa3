//! What the kernel says of this process, under the names and with the help that Prometheus' client libraries have.
//!
//! What cannot be read is left out. Reading is a handful of small files under `/proc`, at each scrape and never between.
//!
//! *Never:* what the process does.

use std::{fs, path::Path};

use crate::exposition::{Kind, MetricFamily, Value};

use super::{family, series};

/// Name, type and help.
type Known = (&'static str, Kind, &'static str);

const CPU: Known = ("process_cpu_seconds_total", Kind::Counter, "Total user and system CPU time spent in seconds.");
const MAX_FDS: Known = ("process_max_fds", Kind::Gauge, "Maximum number of open file descriptors.");
const RECEIVED: Known =
    ("process_network_receive_bytes_total", Kind::Counter, "Number of bytes received by the process over the network.");
const SENT: Known =
    ("process_network_transmit_bytes_total", Kind::Counter, "Number of bytes sent by the process over the network.");
const OPEN_FDS: Known = ("process_open_fds", Kind::Gauge, "Number of open file descriptors.");
const RESIDENT: Known = ("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.");
const STARTED: Known =
    ("process_start_time_seconds", Kind::Gauge, "Start time of the process since unix epoch in seconds.");
const VIRTUAL: Known = ("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes.");
const MAX_VIRTUAL: Known =
    ("process_virtual_memory_max_bytes", Kind::Gauge, "Maximum amount of virtual memory available in bytes.");

/// What the kernel counts processor time in, on every platform: a hundredth of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Name and type of each family, sorted by name.
pub(super) const FAMILIES: [(&str, Kind); 9] = [
    (CPU.0, CPU.1),
    (MAX_FDS.0, MAX_FDS.1),
    (RECEIVED.0, RECEIVED.1),
    (SENT.0, SENT.1),
    (OPEN_FDS.0, OPEN_FDS.1),
    (RESIDENT.0, RESIDENT.1),
    (STARTED.0, STARTED.1),
    (VIRTUAL.0, VIRTUAL.1),
    (MAX_VIRTUAL.0, MAX_VIRTUAL.1),
];

/// The families of this process, sorted by name.
pub(super) fn gather() -> Vec<MetricFamily> {
    gather_from(Path::new("/proc"))
}

fn gather_from(proc: &Path) -> Vec<MetricFamily> {
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    let (own, limits, network) = (read("self/stat"), read("self/limits"), read("self/net/netstat"));
    // The name of the program may have anything in it but is the only part in parentheses.
    let own: Vec<_> = own.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |number: usize| own.get(number)?.parse::<f64>().ok();
    let status = read("self/status");
    let values = [
        (CPU, field(11).zip(field(12)).map(|(user, system)| (user + system) / TICKS_PER_SECOND)),
        (MAX_FDS, limit(&limits, "Max open files")),
        (RECEIVED, octets(&network, "InOctets")),
        (SENT, octets(&network, "OutOctets")),
        (OPEN_FDS, open_files(&proc.join("self/fd"))),
        (RESIDENT, kibibytes(&status, "VmRSS:")),
        (STARTED, boot_time(&read("stat")).zip(field(19)).map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND)),
        (VIRTUAL, kibibytes(&status, "VmSize:")),
        (MAX_VIRTUAL, limit(&limits, "Max address space")),
    ];
    let known = values.into_iter().filter_map(|(known, value)| value.map(|value| (known, value)));
    known.map(|((name, kind, help), value)| family(name, help, kind, vec![series(&[], Value::Number(value))])).collect()
}

/// The soft limit. Without limit it is the largest number that Go has for it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let number = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    number.parse::<f64>().ok().map(|number| number * 1024.0)
}

/// The file has pairs of lines, names and then values.
fn octets(network: &str, name: &str) -> Option<f64> {
    let mut lines = network.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) = names.split_whitespace().zip(values.split_whitespace()).find(|(known, _)| *known == name)?;
    value.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Without the one that looking takes.
fn open_files(folder: &Path) -> Option<f64> {
    let count = fs::read_dir(folder).ok()?.count().checked_sub(1)?;
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn value(families: &[MetricFamily], name: &str) -> f64 {
        let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"));
        match &family.metrics[0].value {
            Value::Number(number) => *number,
            Value::Summary(_) | Value::Histogram(_) => panic!("{name} is no number"),
        }
    }

    #[test]
    fn this_process_has_plausible_values() {
        let families = gather();
        let names: Vec<_> = families.iter().map(|family| (family.name.as_str(), family.kind)).collect();
        assert_eq!(names, FAMILIES);
        assert!(names.is_sorted());
        let value = |name| value(&families, name);
        assert!((1.0..1e9).contains(&value("process_open_fds")));
        assert!(value("process_open_fds") <= value("process_max_fds"));
        assert!(100_000.0 < value("process_resident_memory_bytes"));
        assert!(value("process_resident_memory_bytes") <= value("process_virtual_memory_bytes"));
        let age = clock::now().0 - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }

    #[test]
    fn values_are_read_from_what_the_kernel_writes() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n\
                      Max address space   unlimited   unlimited   bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(18_446_744_073_709_551_615.0));
        assert_eq!(limit(limits, "Max cpu time"), None);
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmRSS:\t    5040 kB\n", "VmRSS:"), Some(5_160_960.0));
        let network = "TcpExt: A InOctets\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 70 80\n";
        assert_eq!((octets(network, "InOctets"), octets(network, "OutOctets")), (Some(70.0), Some(80.0)));
        assert_eq!(octets("IpExt: InOctets\n", "InOctets"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(gather_from(Path::new("/nonexistent")), []);
    }
}
