//! `sidegate-operator`: flags in, exit code out.
//!
//! *Never:* anything else; [`operator::app`] is where it starts.

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use operator::{
    app,
    args::{Args, Command},
    config::{Config, Mistakes, SidecarImage},
    offline, telemetry,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Command::Inject(inject)) = args.command.clone() {
        let image = SidecarImage::from_args(args).unwrap_or_else(|mistakes| refuse(mistakes));
        return Ok(offline::command::carry_out(&inject, &image)?);
    }
    let config = Config::from_args(args).unwrap_or_else(|mistakes| refuse(mistakes));
    telemetry::start(&config.log);
    app::run(config).await?;
    Ok(())
}

fn refuse(mistakes: Mistakes) -> ! {
    Args::command().error(ErrorKind::ValueValidation, mistakes).exit()
}
