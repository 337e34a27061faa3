//! `sidegate-operator`: flags in, exit code out.
//!
//! *Never:* anything else; [`operator::app`] is where it starts.

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use operator::{app, args::Args, config::Config, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = match Config::from_args(Args::parse()) {
        Ok(config) => config,
        Err(mistakes) => Args::command().error(ErrorKind::ValueValidation, mistakes).exit(),
    };
    telemetry::start(&config.log);
    app::run(config).await?;
    Ok(())
}
