//! What holds of the user database of every image. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use crate::users::account;

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[("account", an_account)];

/// The first line says who is wanted; then comes an image's passwd(5), an empty line, and its group(5). A number
/// is that id, and nobody gets one that means "leave it as it is" to the kernel.
fn an_account(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (wanted, files) = text.split_once('\n').unwrap_or((&text, ""));
    let (passwd, group) = files.split_once("\n\n").unwrap_or((files, ""));
    let Ok(wanted) = wanted.parse() else {
        return;
    };
    let Ok(found) = account(&wanted, passwd, group) else {
        return;
    };
    for (said, id) in [
        (Some(&wanted.user), found.uid),
        (wanted.group.as_ref(), found.gid),
    ] {
        if let Some(number) = said.and_then(|said| said.parse::<u32>().ok()) {
            assert_eq!(number, id, "{wanted:?}");
        }
    }
    let ids = found.groups.iter().chain([&found.uid, &found.gid]);
    assert!(ids.into_iter().all(|id| *id != u32::MAX));
    assert!(found.home.is_absolute());
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_hold() {
        super::hold::all("images", super::ALL);
    }
}
