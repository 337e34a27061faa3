//! Tokens in a file, credentials in a request, and who is let in.

use std::{fs, time::Duration};

use axum::http::HeaderMap;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const PUSH: Wish<'_> = Wish::Push { job: Some("j") };

/// A guard over a file of this text.
fn guarded(name: &str, text: &str, guards_reads: bool) -> (Access, PathBuf) {
    let folder = std::env::temp_dir().join(format!("sidegate-auth-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let token_file = folder.join("tokens");
    fs::write(&token_file, text).unwrap();
    let access = Access::new(Some(AuthSettings { token_file: token_file.clone(), guards_reads }));
    access.refresh(Instant::now()).unwrap().unwrap();
    (access, token_file)
}

fn shown(tokens: &[&str]) -> Credentials {
    let headers = tokens.iter().map(|token| (TOKEN_NAME.parse().unwrap(), token.parse().unwrap()));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let _: bool = HeaderMap::append::<axum::http::HeaderName>(&mut map, name, value);
    }
    Credentials::of(&map, "")
}

fn admit(access: &Access, tokens: &[&str], wish: Wish<'_>) -> Result<(), Refused> {
    access.admit(&shown(tokens), wish, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn without_a_token_file_nobody_is_asked() {
    let access = Access::default();
    for wish in [PUSH, Wish::Push { job: None }, Wish::Administrate, Wish::Read] {
        assert!(!access.guards(wish));
        assert_eq!(admit(&access, &[], wish), Ok(()));
    }
    assert!(access.refresh(Instant::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn any_good_token_suffices() {
    let (access, _) = guarded("any", "one\ntwo\n", true);
    for tokens in [&["one"][..], &["two"], &["x", "two"], &["one", "x", ""]] {
        for wish in [PUSH, Wish::Push { job: None }, Wish::Administrate, Wish::Read] {
            assert_eq!(admit(&access, tokens, wish), Ok(()), "{tokens:?} {wish:?}");
        }
    }
    assert_eq!(admit(&access, &[], PUSH), Err(Refused::Missing));
    assert_eq!(admit(&access, &[""], PUSH), Err(Refused::Missing));
    assert_eq!(admit(&access, &["on"], PUSH), Err(Refused::Unknown { several: false }));
    assert_eq!(admit(&access, &["ones", "ONE"], PUSH), Err(Refused::Unknown { several: true }));
}

#[tokio::test(start_paused = true)]
async fn reads_are_guarded_on_request() {
    let (access, _) = guarded("reads", "one\n", false);
    assert!(!access.guards(Wish::Read) && access.guards(PUSH) && access.guards(Wish::Administrate));
    assert_eq!(admit(&access, &[], Wish::Read), Ok(()));
    let (access, _) = guarded("reads-too", "one\n", true);
    assert_eq!(admit(&access, &[], Wish::Read), Err(Refused::Missing));
}

#[tokio::test(start_paused = true)]
async fn a_token_for_some_jobs_pushes_those_and_reads() {
    let text = "tokens: [{token: one, jobs: ['backup-.*', j]}, {token: two, jobs: [k]}]";
    let (access, _) = guarded("jobs", text, true);
    let push = |job| Wish::Push { job: Some(job) };
    assert_eq!(admit(&access, &["one"], push("backup-1")), Ok(()));
    assert_eq!(admit(&access, &["one"], push("j")), Ok(()));
    assert_eq!(admit(&access, &["one"], push("my-backup-1")), Err(Refused::Job { job: "my-backup-1".to_owned() }));
    assert_eq!(admit(&access, &["one"], Wish::Read), Ok(()));
    assert_eq!(admit(&access, &["one"], Wish::Administrate), Err(Refused::NotForAll));
    assert_eq!(admit(&access, &["one", "two"], push("k")), Ok(()));
    assert_eq!(admit(&access, &["one", "x"], push("k")), Err(Refused::Job { job: "k".to_owned() }));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_held_to_its_rate_and_another_is_not() {
    let text = "tokens: [{token: one, rate: {perSecond: 0.4, burst: 2}}, {token: two, jobs: [k]}, {token: three}]";
    let (access, _) = guarded("rate", text, false);
    assert_eq!(admit(&access, &["one"], PUSH), Ok(()));
    assert_eq!(admit(&access, &["one"], Wish::Administrate), Ok(()));
    assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::TooOften { retry_after: 3 }));
    assert_eq!(admit(&access, &["one", "two", "x"], PUSH), Err(Refused::TooOften { retry_after: 3 }));
    assert_eq!(admit(&access, &["one", "three"], PUSH), Ok(()));
    tokio::time::advance(SECOND * 3).await;
    assert_eq!(admit(&access, &["one"], PUSH), Ok(()));
    assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::TooOften { retry_after: 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_refused_job_uses_up_nothing() {
    let (access, _) = guarded("unused", "tokens: [{token: one, jobs: [k], rate: {perSecond: 1}}]", false);
    for _ in 0..5 {
        assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::Job { job: "j".to_owned() }));
    }
    assert_eq!(admit(&access, &["one"], Wish::Push { job: Some("k") }), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_counts_after_a_second_and_a_bad_one_does_not() {
    let (access, file) = guarded("changed", "one\n", false);
    fs::write(&file, "two\nthree\n").unwrap();
    assert!(access.refresh(Instant::now()).is_none());
    assert_eq!(admit(&access, &["one"], PUSH), Ok(()));
    tokio::time::advance(SECOND).await;
    assert_eq!(access.refresh(Instant::now()).unwrap().unwrap(), 2);
    assert!(access.refresh(Instant::now()).is_none());
    assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::Unknown { several: false }));
    assert_eq!(admit(&access, &["two"], PUSH), Ok(()));

    let path = file.display();
    for (text, fault) in [
        (Some("two words in\n a line"), format!("expected a token file in \"{path}\", found a fault: ")),
        (Some(""), format!("expected a token file in \"{path}\", found a fault: expected tokens, found an empty file")),
        (None, format!("expected a file that can be read, found \"{path}\": No such file")),
    ] {
        text.map_or_else(|| fs::remove_file(&file), |text| fs::write(&file, text)).unwrap();
        tokio::time::advance(SECOND).await;
        let error = access.refresh(Instant::now()).unwrap().unwrap_err().to_string();
        assert!(error.starts_with(&fault), "{error}");
        tokio::time::advance(SECOND).await;
        assert!(access.refresh(Instant::now()).is_none(), "a bad file is read once");
        assert_eq!(admit(&access, &["two"], PUSH), Ok(()));
    }
    fs::write(&file, "tokens: []").unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(access.refresh(Instant::now()).unwrap().unwrap(), 0);
    assert_eq!(admit(&access, &["two"], PUSH), Err(Refused::Unknown { several: false }));
}

#[tokio::test(start_paused = true)]
async fn what_was_used_of_a_rate_stays_used_when_the_file_changes() {
    let (access, file) = guarded("used", "tokens: [{token: one, rate: {perSecond: 0.01}}]", false);
    assert_eq!(admit(&access, &["one"], PUSH), Ok(()));
    fs::write(&file, "tokens: [{token: one, rate: {perSecond: 0.01}}, {token: two}]").unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(access.refresh(Instant::now()).unwrap().unwrap(), 2);
    assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::TooOften { retry_after: 99 }));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_before_there_was_a_good_file() {
    let token_file = std::env::temp_dir().join(format!("sidegate-auth-late-{}", std::process::id()));
    let _ = fs::remove_file(&token_file);
    let access = Access::new(Some(AuthSettings { token_file: token_file.clone(), guards_reads: false }));
    assert!(access.refresh(Instant::now()).unwrap().is_err());
    assert_eq!(admit(&access, &["one"], PUSH), Err(Refused::Unavailable));
    assert_eq!(admit(&access, &[], Wish::Administrate), Err(Refused::Unavailable));
    assert_eq!(admit(&access, &[], Wish::Read), Ok(()));
    fs::write(&token_file, "one").unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(access.refresh(Instant::now()).unwrap().unwrap(), 1);
    assert_eq!(admit(&access, &["one"], PUSH), Ok(()));
}
