use super::*;

fn key(uri: &str) -> Key {
    Key {
        uid: 7,
        uri: uri.to_owned(),
    }
}

async fn filled(cache: &Arc<Cache>, uri: &str, content: &str, text: &str) {
    let mut used = cache.prepare(key(uri), None).await.unwrap();
    std::fs::write(&used.fill, text).unwrap();
    let entry = Entry::new(content.to_owned(), text.len() as u64, Validators::default());
    cache.take(&mut used, entry).unwrap();
}

async fn text(cache: &Arc<Cache>, uri: &str) -> Option<String> {
    let used = cache.prepare(key(uri), None).await.unwrap();
    let kept = used.kept.as_ref()?;
    Some(std::fs::read_to_string(&kept.path).unwrap())
}

fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_kept_is_there_again_after_a_restart_and_leavings_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    filled(&cache, "a", "A", "hello").await;
    filled(&cache, "b", "B", "cut short").await;
    drop(cache);
    let user = dir.path().join("7");
    std::fs::write(user.join("B"), "cut").unwrap();
    std::fs::write(user.join("filling-1-1"), "x").unwrap();
    std::fs::write(user.join("C"), "x").unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    assert_eq!(text(&cache, "a").await.as_deref(), Some("hello"));
    assert_eq!(text(&cache, "b").await, None);
    assert_eq!(names(&user), ["A"]);
}

/// A directory that an operator has made may be open to all.
#[tokio::test]
async fn nobody_else_reads_which_uris_are_known() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    filled(&cache, "http://me:hunter2@h/a", "A", "hello").await;
    let mode = |name| {
        dir.path()
            .join(name)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode(INDEX), mode("7")), (0o600, 0o700));
}

#[tokio::test]
async fn an_index_that_is_damaged_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    filled(&cache, "a", "A", "hello").await;
    std::fs::write(dir.path().join(INDEX), "{").unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    assert_eq!(text(&cache, "a").await, None);
    assert_eq!(cache.bytes(), 0);
}

#[tokio::test]
async fn a_fetch_that_failed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    let used = cache.prepare(key("a"), None).await.unwrap();
    std::fs::write(&used.fill, "half").unwrap();
    drop(used);
    assert!(names(&dir.path().join("7")).is_empty());
}

#[tokio::test]
async fn who_wants_what_is_on_its_way_gets_it_once_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    let mut first = cache.prepare(key("a"), None).await.unwrap();
    assert!(first.kept.is_none());
    let second = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { text(&cache, "a").await }
    });
    // Another URI is no reason to wait.
    assert_eq!(text(&cache, "b").await, None);
    std::fs::write(&first.fill, "hello").unwrap();
    let entry = Entry::new("A".to_owned(), 5, Validators::default());
    cache.take(&mut first, entry).unwrap();
    assert_eq!(second.await.unwrap().as_deref(), Some("hello"));
    // It is still under way with other things, and nobody waits for those.
    drop(first);
}

#[tokio::test]
async fn who_waits_takes_over_when_the_first_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    let first = cache.prepare(key("a"), None).await.unwrap();
    let second = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.prepare(key("a"), None).await }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert!(second.await.unwrap().unwrap().kept.is_none());
}

#[tokio::test]
async fn a_file_in_use_is_not_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 10).unwrap();
    filled(&cache, "a", "A", "01234567").await;
    let used = cache.prepare(key("a"), None).await.unwrap();
    filled(&cache, "b", "B", "01234567").await;
    assert_eq!(names(&dir.path().join("7")), ["A"]);
    drop(used);
    filled(&cache, "c", "C", "01234567").await;
    assert_eq!(names(&dir.path().join("7")), ["C"]);
    assert_eq!((cache.bytes(), cache.figures().evictions), (8, 2));
}

#[tokio::test]
async fn content_that_a_checksum_contradicts_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().to_owned(), 100).unwrap();
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    filled(&cache, "a", &format!("sha256-{digest}"), "hello").await;
    for (digest, is_kept) in [(digest, true), (&digest.replace('2', "3"), false)] {
        let uri = format!("a#sha256:{digest}");
        let (_, checksum) = Checksum::split(&uri).unwrap();
        let used = cache.prepare(key("a"), checksum.as_ref()).await.unwrap();
        let proven = used.kept.as_ref().is_some_and(|kept| kept.proven);
        assert_eq!(proven, is_kept);
    }
}

/// The child handles bytes from elsewhere, and says what its file is called.
#[tokio::test]
async fn a_content_is_never_put_where_its_name_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().join("cache"), 100).unwrap();
    for name in [
        "../../x",
        "/x",
        "a/b",
        "",
        "..",
        "filling-1-2",
        &"a".repeat(300),
    ] {
        let mut used = cache.prepare(key("a"), None).await.unwrap();
        std::fs::write(&used.fill, "x").unwrap();
        let entry = Entry::new(name.to_owned(), 1, Validators::default());
        cache.take(&mut used, entry).unwrap_err();
    }
    assert_eq!(names(dir.path()), ["cache"]);
    assert_eq!(text(&cache, "a").await, None);
}
