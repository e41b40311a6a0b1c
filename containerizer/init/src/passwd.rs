//! The user database of a container: text from an image, believed in nothing but a home directory.

/// Longer ones are not read: bytes.
pub const LONGEST: usize = 1 << 20;

/// The home directory of `uid`: of its first line that names an absolute one. passwd(5).
pub fn home(passwd: &str, uid: u32) -> Option<String> {
    // No environment can hold a NUL.
    let mut lines = passwd.lines().filter(|line| !line.contains('\0'));
    lines.find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let its_uid = fields.next()?;
        // As `parse` would take it, too: "+1".
        let is_number = !its_uid.is_empty() && its_uid.bytes().all(|b| b.is_ascii_digit());
        let matches = is_number && its_uid.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (matches && home.starts_with('/')).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_lives_where_the_first_good_line_says() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\
                      bad:x:7\n\
                      relative:x:7:7::home:/bin/sh\n\
                      seven:x:7:7::/home/seven:/bin/sh\n\
                      again:x:7:7::/elsewhere:/bin/sh\n\
                      short:x:8:8::/home/eight";
        assert_eq!(home(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home(passwd, 7).as_deref(), Some("/home/seven"));
        assert_eq!(home(passwd, 8).as_deref(), Some("/home/eight"));
        assert_eq!(home(passwd, 9), None);
    }

    #[test]
    fn a_hostile_line_gives_nobody_a_home() {
        for line in [
            "",
            "::::::",
            "a:x:4294967296:0::/r:",
            "a:x:-0:0::/r:",
            "a:x:+0:0::/r:",
            "a:x: 0:0::/r:",
            "a:x:0x0:0::/r:",
            "a:x::0::/r:",
            "a:x:0:0::",
            "a:x:0:0::/r\0oot:",
        ] {
            assert_eq!(home(line, 0), None, "{line:?}");
        }
    }
}
