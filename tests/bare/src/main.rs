//! The least that a gateway on axum could do: it reads a pushed body and drops it, and hands out one page.
//!
//! `cargo gateway-bench` builds and starts it, and says in ratios to it how fast ours is. The page is a file, and its
//! headers come with it:
//!
//! ```text
//! bare one|many [FILE CONTENT-TYPE [CONTENT-ENCODING]]
//! ```
//!
//! *Never:* what is in a body or on a page.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    iter,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
    routing::{get, put},
};
use tokio::{net::TcpListener, runtime::Builder};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // As `#[tokio::main]` makes it, in its two flavours.
    let mut builder = match arguments.first().map(String::as_str) {
        Some("one") => Builder::new_current_thread(),
        Some("many") => Builder::new_multi_thread(),
        Some(_) | None => return Err("expected `one` or `many`, for the threads".into()),
    };
    builder.enable_all().build()?.block_on(serve(arguments.get(1..).unwrap_or_default()))
}

async fn serve(page: &[String]) -> Result<(), Failure> {
    let bytes = Bytes::from(page.first().map(fs::read).transpose()?.unwrap_or_default());
    let mut headers = HeaderMap::new();
    for (name, value) in iter::zip([header::CONTENT_TYPE, header::CONTENT_ENCODING], page.iter().skip(1)) {
        headers.insert(name, HeaderValue::from_str(value)?);
    }
    let router = Router::new()
        .route("/metrics", get(move || async move { (headers.clone(), bytes.clone()) }))
        .route("/metrics/{*key}", put(async |_: Bytes| ()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stderr(), "listening address={}", listener.local_addr()?)?;
    Ok(axum::serve(listener, router).await?)
}
