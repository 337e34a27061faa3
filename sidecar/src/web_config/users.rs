//! Users with bcrypt hashes: is this the password.
//!
//! A hash takes some fifty milliseconds on purpose, so what came of it is remembered, under a hash of all that it was about;
//! one password is hashed at a time, on a thread of its own; and only so many wait for that. A user who is not known
//! costs a hash too, so that nobody learns who is.
//!
//! *Never:* requests, files.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// How many wrong passwords are remembered; those that are right have a place of their own.
const MOST_WRONG: usize = 100;

/// How many right ones are: several, since bcrypt looks only at the first 72 bytes.
const MOST_RIGHT: usize = 1000;

/// How many logins wait for their hash.
const MOST_WAITING: usize = 64;

/// What a password is compared with where there is no user: of the usual cost, and of no password.
const NOBODYS_HASH: &str = "$2b$10$abcdefghijklmnopqrstuu5Lw7vTBHGMC7RPBwoImgbrnBSnyDRCq";

type Key = [u8; 32];

/// All users.
pub(crate) struct Users {
    hashes: HashMap<String, String>,
    verdicts: Mutex<Verdicts>,
    hashing: Semaphore,
    waiting: Semaphore,
}

/// What a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Good,
    Bad,
    /// Too many wait to be told.
    Busy,
}

#[derive(Default)]
struct Verdicts {
    right: HashSet<Key>,
    wrong: VecDeque<Key>,
}

// === impl Users ===

impl Users {
    /// By name, with their hashes.
    ///
    /// # Errors
    /// The name of a user whose hash is none.
    pub(super) fn new(hashes: HashMap<String, String>) -> Result<Self, String> {
        match hashes.iter().find(|(_, hash)| bcrypt::HashParts::from_str(hash).is_err()) {
            Some((name, _)) => Err(name.clone()),
            None => Ok(Self {
                hashes,
                verdicts: Mutex::default(),
                hashing: Semaphore::new(1),
                waiting: Semaphore::new(MOST_WAITING),
            }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether it is this user's password.
    ///
    /// # Cancel safety
    /// Dropped midway, the verdict is lost and the hash is made to its end.
    pub(crate) async fn check(self: &Arc<Self>, user: &str, password: &[u8]) -> Login {
        let key = self.key(user, password);
        if let Some(known) = self.verdict(&key) {
            return known;
        }
        let Ok(_place) = self.waiting.try_acquire() else { return Login::Busy };
        // It is never closed.
        let Ok(_turn) = self.hashing.acquire().await else { return Login::Busy };
        // The one before may have been the same.
        if let Some(known) = self.verdict(&key) {
            return known;
        }
        let (users, user, password) = (Arc::clone(self), user.to_owned(), password.to_vec());
        let hashed = tokio::task::spawn_blocking(move || {
            let hash = users.hashes.get(&user);
            let is_right = bcrypt::verify(password, hash.map_or(NOBODYS_HASH, String::as_str)).unwrap_or(false);
            is_right && hash.is_some()
        });
        let is_right = hashed.await.unwrap_or(false);
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).keep(key, is_right);
        if is_right { Login::Good } else { Login::Bad }
    }

    fn verdict(&self, key: &Key) -> Option<Login> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).find(key)
    }

    /// The lengths keep one pair from reading like another.
    fn key(&self, user: &str, password: &[u8]) -> Key {
        let hash = self.hashes.get(user).map_or(NOBODYS_HASH, String::as_str);
        let parts = [user.as_bytes(), hash.as_bytes(), password];
        let hasher = parts.iter().fold(Sha256::new(), |hasher, part| {
            hasher.chain_update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()).chain_update(part)
        });
        hasher.finalize().into()
    }
}

/// Neither names nor hashes.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("count", &self.hashes.len()).finish_non_exhaustive()
    }
}

// === impl Verdicts ===

impl Verdicts {
    fn find(&self, key: &Key) -> Option<Login> {
        if self.right.contains(key) {
            return Some(Login::Good);
        }
        self.wrong.contains(key).then_some(Login::Bad)
    }

    fn keep(&mut self, key: Key, is_right: bool) {
        if is_right {
            if MOST_RIGHT <= self.right.len() {
                self.right.clear();
            }
            self.right.insert(key);
            return;
        }
        if MOST_WRONG <= self.wrong.len() {
            self.wrong.pop_front();
        }
        self.wrong.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Arc<Users> {
        let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string();
        Arc::new(Users::new([("a".to_owned(), hash)].into()).unwrap())
    }

    #[tokio::test]
    async fn a_user_is_let_in_with_the_password() {
        let users = users();
        for _ in 0..2 {
            assert_eq!(users.check("a", b"secret").await, Login::Good);
            for (user, password) in [("a", "secre"), ("a", ""), ("b", "secret"), ("", ""), ("asecret", "")] {
                assert_eq!(users.check(user, password.as_bytes()).await, Login::Bad, "{user}:{password}");
            }
        }
        let verdicts = users.verdicts.lock().unwrap();
        assert_eq!((verdicts.right.len(), verdicts.wrong.len()), (1, 5), "each was hashed once");
    }

    #[tokio::test]
    async fn wrong_passwords_do_not_push_out_the_right_one() {
        let mut verdicts = Verdicts::default();
        verdicts.keep([0; 32], true);
        for n in 1..=u8::MAX {
            verdicts.keep([n; 32], false);
        }
        assert_eq!(verdicts.find(&[0; 32]), Some(Login::Good));
        assert_eq!(verdicts.find(&[1; 32]), None);
        assert_eq!((verdicts.find(&[u8::MAX; 32]), verdicts.wrong.len()), (Some(Login::Bad), MOST_WRONG));
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let users = users();
        let turn = users.hashing.acquire().await.unwrap();
        let mut logins = tokio::task::JoinSet::new();
        for n in 0..=MOST_WAITING {
            let users = Arc::clone(&users);
            logins.spawn(async move { users.check("a", n.to_string().as_bytes()).await });
        }
        assert_eq!(logins.join_next().await.unwrap().unwrap(), Login::Busy);
        drop(turn);
        while let Some(login) = logins.join_next().await {
            assert_eq!(login.unwrap(), Login::Bad);
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_with_its_user() {
        for bad in ["", "secret", "$2y$04$short", "$1$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(Users::new([("a".to_owned(), bad.to_owned())].into()).unwrap_err(), "a", "{bad}");
        }
        assert!(Users::new([("a".to_owned(), NOBODYS_HASH.to_owned())].into()).is_ok());
    }
}
