//! Flags about what is kept on disk.
//!
//! *Never:* what a value means.

/// Where it is kept, in every role.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    /// Folder to keep in what is pushed, so that it is there after a restart; without one it is in memory only.
    #[arg(long = "storage.dir", env = "SIDEGATE_STORAGE_DIR", value_name = "FOLDER")]
    pub(crate) storage_dir: Option<String>,

    /// When to make the disk itself take what was written: never, so that an answered push survives the end of the
    /// process, or always, before the answer, so that it survives the end of the machine.
    #[arg(long = "storage.sync", env = "SIDEGATE_STORAGE_SYNC", value_name = "WHEN", default_value = "never")]
    pub(crate) storage_sync: String,
}

/// The Pushgateway's flags for the same, of the process alone.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct PersistenceArgs {
    /// The Pushgateway's name for the folder, which is FILE with `.d` behind it; what is at FILE itself is neither read
    /// nor changed.
    #[arg(long = "persistence.file", env = "SIDEGATE_PERSISTENCE_FILE", value_name = "FILE")]
    pub(crate) persistence_file: Option<String>,

    /// How long to leave between checkpoints, such as `30s` or `1h30m`, unless the log outgrows what it is a log of;
    /// every push is stored at once, whatever this says.
    #[arg(
        long = "persistence.interval",
        env = "SIDEGATE_PERSISTENCE_INTERVAL",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub(crate) persistence_interval: String,
}
