//! What a process costs, as the kernel tells it.
//!
//! *Never:* which process.

use std::fs;

use anyhow::Context as _;

/// How often the kernel's clock for processor time ticks in a second; so it is on every Linux.
const TICKS: f64 = 100.0;

/// Memory that a process holds, in bytes.
pub(crate) fn memory(process: u32) -> anyhow::Result<f64> {
    status(process, "VmRSS:")
}

/// The most memory that a process has held, in bytes.
pub(crate) fn peak_memory(process: u32) -> anyhow::Result<f64> {
    status(process, "VmHWM:")
}

/// Processor time that a process has taken since its start, in seconds.
pub(crate) fn processor_time(process: u32) -> anyhow::Result<f64> {
    processor_time_of(&fs::read_to_string(format!("/proc/{process}/stat"))?)
}

fn status(process: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
    Ok(1024.0 * line.with_context(|| format!("expected {name}"))?.trim().parse::<f64>()?)
}

/// Time in the program and time in the kernel for it. The program's name, in parentheses, may have blanks.
fn processor_time_of(stat: &str) -> anyhow::Result<f64> {
    let (_, fields) = stat.rsplit_once(") ").context("expected a name in parentheses")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next().context("expected two times")?.parse::<f64>().map_err(anyhow::Error::from);
    Ok((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn processor_time_is_that_of_the_program_and_of_the_kernel_for_it() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10\n";
        assert_eq!(processor_time_of(stat).unwrap(), 3.0);
        assert!(processor_time_of("7 (a) S 1").is_err());
    }

    #[test]
    fn no_process_has_held_less_than_it_holds() {
        let now = memory(process::id()).unwrap();
        assert!(0.0 < now && now <= peak_memory(process::id()).unwrap());
    }
}
