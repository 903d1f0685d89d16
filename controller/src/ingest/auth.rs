//! Who may raise alerts: whoever shows the token, as a bearer of it or in a header of our own.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::serve::{Error, LOOK_AGAIN};

/// The header for those whose `Authorization` does not arrive: the API server keeps it to itself when it passes a
/// request on to a Service.
pub const TOKEN_HEADER: &str = "x-aegis-token";

/// The expected token, or none if everybody may. Clones share it.
#[derive(Clone)]
pub(super) struct Guard {
    token: Option<Token>,
}

#[derive(Clone)]
struct Token {
    file: PathBuf,
    /// Tokens are compared by their hashes: those have one length, and how much of them agrees tells nothing.
    digest: Arc<RwLock<[u8; 32]>>,
}

impl Guard {
    /// Reads the token from that file; without a file everybody may.
    pub(super) fn load(file: Option<PathBuf>) -> Result<Self, Error> {
        let Some(file) = file else { return Ok(Self { token: None }) };
        match read(&file) {
            Ok(digest) => Ok(Self { token: Some(Token { file, digest: Arc::new(RwLock::new(digest)) }) }),
            Err(source) => Err(Error::Token { file, source }),
        }
    }

    /// Whether the headers of a request show the token.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, credentials) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(credentials)
        });
        let shown = shown.or_else(|| headers.get(TOKEN_HEADER).map(HeaderValue::as_bytes));
        let shown: [u8; 32] = Sha256::digest(shown.unwrap_or_default().trim_ascii()).into();
        let expected = *token.digest.read().unwrap_or_else(PoisonError::into_inner);
        let difference = shown.iter().zip(expected).fold(0, |difference, (one, other)| difference | (one ^ other));
        std::hint::black_box(difference) == 0
    }

    /// Reads the file again now and then until `stop`. A file that cannot be read leaves the token as it was.
    pub(super) async fn follow(self, stop: CancellationToken) {
        let Some(Token { file, digest }) = self.token else { return };
        let mut readable = true;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            match read(&file) {
                Ok(new) => {
                    let mut held = digest.write().unwrap_or_else(PoisonError::into_inner);
                    if std::mem::replace(&mut *held, new) != new {
                        info!("the webhook's token has changed");
                    }
                    readable = true;
                }
                Err(error) => {
                    if std::mem::take(&mut readable) {
                        warn!("could not read the webhook's token again, the old one counts: {error}");
                    }
                }
            }
        }
    }
}

fn read(file: &PathBuf) -> io::Result<[u8; 32]> {
    let content = std::fs::read(file)?;
    match content.trim_ascii() {
        [] => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty; expected a token")),
        token => Ok(Sha256::digest(token).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_the_token_itself_opens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "s3cret\n").unwrap();
        let guard = Guard::load(Some(file)).unwrap_or_else(|error| panic!("{error}"));
        let cases = [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3crett", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ];
        for (value, want) in cases {
            assert_eq!(guard.admits(&headers(value)), want, "{value}");
        }
        assert!(!guard.admits(&HeaderMap::new()));
        let own = |value: &str| (header::HeaderName::from_static(TOKEN_HEADER), value.parse().unwrap());
        let bearer = |value: &str| (header::AUTHORIZATION, value.parse().unwrap());
        let cases = [
            (vec![own("s3cret")], true, "where Authorization is not passed on"),
            (vec![own("s3cre")], false, "another one"),
            (vec![own("")], false, "none at all"),
            (vec![own("Bearer s3cret")], false, "the token stands there alone"),
            (vec![bearer("Basic x"), own("s3cret")], true, "a proxy's own credentials are no token"),
            (vec![bearer("Bearer wrong"), own("s3cret")], false, "a wrong token is wrong"),
        ];
        for (shown, want, why) in cases {
            assert_eq!(guard.admits(&HeaderMap::from_iter(shown)), want, "{why}");
        }
    }

    #[test]
    fn a_token_file_that_is_missing_or_empty_is_an_error_and_no_open_door() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(Guard::load(Some(file.clone())).is_err());
        std::fs::write(&file, " \n").unwrap();
        assert!(Guard::load(Some(file)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_token_counts_soon_and_a_lost_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "old").unwrap();
        let guard = Guard::load(Some(file.clone())).unwrap_or_else(|error| panic!("{error}"));
        let stop = CancellationToken::new();
        tokio::spawn(guard.clone().follow(stop.clone()));
        std::fs::write(&file, "new").unwrap();
        tokio::time::sleep(LOOK_AGAIN * 2).await;
        assert!(guard.admits(&headers("Bearer new")) && !guard.admits(&headers("Bearer old")));
        std::fs::remove_file(&file).unwrap();
        tokio::time::sleep(LOOK_AGAIN * 2).await;
        assert!(guard.admits(&headers("Bearer new")));
    }
}
