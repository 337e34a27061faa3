//! Who may do what: the token file, and whether reads are guarded.
//!
//! Alone, a file that is no token file is a mistake like others. A sidecar goes on, since it would hold its pod, and
//! lets nobody in until the file is good.
//!
//! *Never:* tokens.

use std::path::PathBuf;

use protocol::flags;

use super::reader::{Reader, given};
use crate::{
    args::AuthArgs,
    auth::{self, AuthSettings},
};

/// The inner `None` is the absence of a token file.
pub(super) fn read(reader: &mut Reader, args: AuthArgs, is_alone: bool) -> Option<Option<AuthSettings>> {
    let token_file = given(args.token_file).map(PathBuf::from);
    let guards_reads = reader.switch(flags::AUTH_READS, &args.reads);
    let Some(token_file) = token_file else {
        if guards_reads == Some(true) {
            reader.mistakes.push(format!(
                "{}: expected {} beside it, found none",
                flags::AUTH_READS,
                flags::TOKEN_FILE
            ));
        }
        return Some(None);
    };
    if is_alone && let Err(error) = auth::check(&token_file) {
        reader.mistakes.push(format!("{}: {error}", flags::TOKEN_FILE));
    }
    Some(Some(AuthSettings { token_file, guards_reads: guards_reads? }))
}
