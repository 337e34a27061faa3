//! What a request shows for itself, wherever clients may put it. Only its hashes are kept.
//!
//! In this order: `Authorization`, as Bearer or as Basic with the token as password, whoever the user is; the header
//! `X-BK-TOKEN`; the parameter of that name. BlueKing's clients send the last two, or Basic as `bkmonitor`. What is
//! empty counts as not sent.
//!
//! *Never:* which tokens are good.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// BlueKing's name for its token, as a header and as a parameter.
pub(super) const TOKEN_NAME: &str = "X-BK-TOKEN";

/// How many are looked at; each costs a hash.
const MOST: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash that stands for a token: comparing hashes tells nothing of how much of a token was right.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

/// The tokens of a request.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(super) digests: Vec<Digest>,
}

// === impl Digest ===

impl Digest {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Takes the same time whatever the two are.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A hash of a short token is nearly as good as the token.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

// === impl Credentials ===

impl Credentials {
    /// Those of a request's headers and query, in the order they count.
    pub(crate) fn of(headers: &HeaderMap, query: &str) -> Self {
        let authorization =
            headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| authorized(value.as_bytes()));
        let by_header = headers.get_all(TOKEN_NAME).iter().map(|value| value.as_bytes().trim_ascii().to_vec());
        let by_query = query.split('&').filter_map(parameter);
        let shown = authorization.chain(by_header).chain(by_query).filter(|token| !token.is_empty());
        Self { digests: shown.take(MOST).map(|token| Digest::of(&token)).collect() }
    }
}

/// The token of an `Authorization`.
fn authorized(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = scheme(value)?;
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    user_and_password(value).map(|(_, password)| password)
}

/// What an `Authorization` of the scheme Basic says.
pub(crate) fn user_and_password(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (_, rest) = scheme(value).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic"))?;
    let mut user = BASE64.decode(rest).ok()?;
    let password = user.split_off(user.iter().position(|byte| *byte == b':')? + 1);
    user.pop();
    Some((String::from_utf8_lossy(&user).into_owned(), password))
}

fn scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    Some((scheme, rest.trim_ascii()))
}

/// The token of a parameter. Tokens have no blanks, so a plus is one: BlueKing's are base64, and not every client escapes it.
fn parameter(pair: &str) -> Option<Vec<u8>> {
    let (name, value) = pair.split_once('=')?;
    (percent_decode_str(name).eq(TOKEN_NAME.bytes())).then(|| percent_decode_str(value).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn shown(headers: &[(&str, &str)], query: &str) -> Vec<Digest> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        Credentials::of(&headers.collect(), query).digests
    }

    fn digests(tokens: &[&str]) -> Vec<Digest> {
        tokens.iter().map(|token| Digest::of(token.as_bytes())).collect()
    }

    #[test]
    fn a_token_is_found_wherever_it_may_be() {
        for (name, value) in [
            ("authorization", "Bearer TOKEN"),
            ("authorization", "bearer  TOKEN "),
            // `bkmonitor:TOKEN`, no user, and no padding.
            ("authorization", "Basic Ymttb25pdG9yOlRPS0VO"),
            ("authorization", "BASIC OlRPS0VO"),
            ("authorization", "Basic dTpUT0tFTg"),
            ("x-bk-token", "TOKEN"),
            ("X-Bk-Token", " TOKEN"),
        ] {
            assert_eq!(shown(&[(name, value)], ""), digests(&["TOKEN"]), "{name}: {value}");
        }
        for query in ["X-BK-TOKEN=TOKEN", "a=b&X-BK-TOKEN=TOKEN&c", "X%2DBK-TOKEN=%54OKEN"] {
            assert_eq!(shown(&[], query), digests(&["TOKEN"]), "{query}");
        }
        assert_eq!(shown(&[], "X-BK-TOKEN=a+b%2Bc=="), digests(&["a+b+c=="]));
        // `u:a:b`: only the user ends at a colon.
        assert_eq!(shown(&[("authorization", "Basic dTphOmI=")], ""), digests(&["a:b"]));
    }

    #[test]
    fn what_is_empty_or_something_else_is_no_token() {
        for value in ["", "Bearer", "Bearer ", "TOKEN", "Basic", "Basic !", "Basic dTo=", "Basic dQ==", "Digest a=b"] {
            assert_eq!(shown(&[("authorization", value)], ""), [], "{value}");
        }
        assert_eq!(shown(&[("x-bk-token", ""), ("x-bk-token", " ")], ""), []);
        for query in ["", "X-BK-TOKEN", "X-BK-TOKEN=", "x-bk-token=a", "token=a", "X-BK-TOKEN2=a"] {
            assert_eq!(shown(&[], query), [], "{query}");
        }
    }

    #[test]
    fn headers_come_before_the_query() {
        let headers = [("x-bk-token", "c"), ("authorization", "Bearer a"), ("authorization", "Basic OmI=")];
        assert_eq!(shown(&headers, "X-BK-TOKEN=d&X-BK-TOKEN=e"), digests(&["a", "b", "c", "d", "e"]));
    }

    #[test]
    fn only_so_many_are_looked_at() {
        assert_eq!(shown(&[], &"X-BK-TOKEN=a&".repeat(MOST + 1)).len(), MOST);
    }

    #[test]
    fn a_token_is_not_shown() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer TOKEN"))]);
        assert_eq!(format!("{:?}", Credentials::of(&headers, "")), "Credentials { digests: [Digest] }");
    }
}
