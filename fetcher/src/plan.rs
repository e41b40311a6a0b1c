//! What to do for each URI, worked out before anything is fetched. Pure.

mod format;

use std::path::{Path, PathBuf};

use proto::redact::redacted;

use crate::archive::Codec;
use crate::beneath::{BadPath, InnerPath};
use crate::checksum::{BadChecksum, Checksum};
use crate::download::{BadPlace, HdfsFile, Object, Place};
use crate::fragment::Wanted;
use crate::policy::{Forbidden, Policy};
use crate::{Request, Uri};

pub use format::Format;

/// One URI, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// As others may read it.
    pub uri: String,
    pub source: Source,
    pub checksum: Option<Checksum>,
    pub target: InnerPath,
    pub then: Then,
    /// The cache keeps what it unpacks to.
    pub unpacked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Http(String),
    Ftp(Place),
    /// Absolute path on this host.
    File(PathBuf),
    S3(Object),
    Hdfs(HdfsFile),
}

impl Source {
    fn scheme(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(url)
                if url
                    .get(..6)
                    .is_some_and(|it| it.eq_ignore_ascii_case("https:")) =>
            {
                "https"
            }
            Self::Http(_) => "http",
            Self::Ftp(place) if place.is_secret() => "ftps",
            Self::Ftp(_) => "ftp",
            Self::S3(_) => "s3",
            Self::Hdfs(_) => "hdfs",
        }
    }
}

/// What becomes of the file once it is in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Keep,
    MakeExecutable,
    /// Extraction was forced, and the name is not that of an archive: the content tells whether it is one.
    Recognise,
    /// Extraction was wanted, but the name has no suffix of an archive.
    KeepWithWarning,
    /// Into the sandbox root; the archive itself stays.
    Unpack(Format),
    /// One file, decompressed next to the original.
    Decompress(Codec, InnerPath),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUri {
    #[error("it is empty: give a URI or an absolute path")]
    Empty,
    #[error("it contains {0:?}: percent-encode this character")]
    Character(char),
    #[error("it has no path after the host: name a file, as in http://host/file")]
    NoPath,
    #[error(
        "the scheme {0} is not supported: serve the file by http, https, ftp, ftps, s3 or hdfs, or name \
         a file on the agent's host"
    )]
    Scheme(String),
    #[error("a file:// URI must hold an absolute path, as in file:///opt/app.tar.gz")]
    RemoteFile,
    #[error(
        "the path is relative and the agent has no --frameworks_home: use an absolute path or a URI"
    )]
    NoHome,
    #[error(
        "it ends with \"#unpacked\", and is no archive that is extracted and cached: set \"extract\" and \"cache\", \
         or leave that out"
    )]
    NotUnpacked,
    #[error("no file name follows the last '/': name a file, or set \"output_file\"")]
    NoName,
    #[error("bad output_file {path:?}")]
    Output { path: PathBuf, source: BadPath },
    #[error(transparent)]
    Ftp(#[from] BadPlace),
    #[error(transparent)]
    Checksum(#[from] BadChecksum),
    #[error("it may not be fetched from")]
    Forbidden(#[from] Forbidden),
    #[error("the last part of the URI cannot be a file name, so set \"output_file\"")]
    Name(#[source] BadPath),
}

/// The first bad URI of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to fetch '{uri}'")]
pub struct Refused {
    pub uri: String,
    pub source: BadUri,
}

pub fn plan(request: &Request, policy: &Policy) -> Result<Vec<Item>, Refused> {
    let home = request.frameworks_home.as_deref();
    let one = |uri: &Uri| {
        let item = item(uri, home).and_then(|item| {
            policy.scheme(item.source.scheme())?;
            Ok(item)
        });
        item.map_err(|source| Refused {
            uri: redacted(&uri.value).escape_debug().to_string(),
            source,
        })
    };
    request.uris.iter().map(one).collect()
}

fn item(uri: &Uri, home: Option<&Path>) -> Result<Item, BadUri> {
    let text = uri.value.trim_start();
    // A control character could forge a line of the log. The quote and the backslash are refused
    // because Mesos does, and people's checks rely on it.
    let refused = |c: &char| matches!(c, '\\' | '\'') || c.is_control();
    if let Some(bad) = text.chars().find(refused) {
        return Err(BadUri::Character(bad));
    }
    let Wanted {
        uri: text,
        checksum,
        unpacked,
    } = Wanted::of(text)?;
    let source = source(text, home)?;
    let target = match &uri.output_file {
        Some(path) => InnerPath::parse(path).map_err(|source| BadUri::Output {
            path: path.clone(),
            source,
        })?,
        None => default_name(text)?,
    };
    let then = match (uri.executable, uri.extract) {
        (true, _) => Then::MakeExecutable,
        (false, Some(false)) => Then::Keep,
        (false, None) => format::unpacking(&target),
        (false, Some(true)) => format::forced(&target),
    };
    let unpacks = matches!(then, Then::Unpack(_) | Then::Recognise);
    if unpacked && !(unpacks && uri.cache) {
        return Err(BadUri::NotUnpacked);
    }
    Ok(Item {
        uri: redacted(text),
        source,
        checksum,
        target,
        then,
        unpacked,
    })
}

fn source(text: &str, home: Option<&Path>) -> Result<Source, BadUri> {
    if text.is_empty() {
        return Err(BadUri::Empty);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match (text.starts_with('/'), home) {
            (true, _) => Ok(Source::File(text.into())),
            (false, Some(home)) => Ok(Source::File(home.join(text))),
            (false, None) => Err(BadUri::NoHome),
        };
    };
    let path = rest.find('/').map(|at| &rest[at..]);
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => match path {
            None | Some("/") => Err(BadUri::NoPath),
            Some(_) => Ok(Source::Http(text.to_owned())),
        },
        "ftp" | "ftps" => match path {
            None | Some("/") => Err(BadUri::NoPath),
            Some(_) => Ok(Source::Ftp(Place::parse(text)?)),
        },
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(BadUri::RemoteFile);
            }
            Ok(Source::File(path.into()))
        }
        // Those with a letter more are Hadoop's names for it.
        "s3" | "s3a" | "s3n" => match rest.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Source::S3(Object {
                    bucket: bucket.to_owned(),
                    key: key.to_owned(),
                }))
            }
            _ => Err(BadUri::NoPath),
        },
        "hdfs" | "webhdfs" | "swebhdfs" => {
            let authority = rest.split('/').next().unwrap_or_default();
            let path = path.filter(|path| *path != "/" && !authority.is_empty());
            let path = path.ok_or(BadUri::NoPath)?;
            let file = HdfsFile::parse(&scheme.to_ascii_lowercase(), authority, path);
            file.map(Source::Hdfs)
                .ok_or_else(|| BadUri::Scheme(scheme.to_owned()))
        }
        _ => Err(BadUri::Scheme(scheme.to_owned())),
    }
}

/// The text after the last '/', query string included.
fn default_name(text: &str) -> Result<InnerPath, BadUri> {
    let name = text.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err(BadUri::NoName);
    }
    InnerPath::parse(Path::new(name)).map_err(BadUri::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str) -> Uri {
        Uri {
            value: value.to_owned(),
            executable: false,
            extract: Some(true),
            cache: false,
            output_file: None,
        }
    }

    fn inner(path: &str) -> InnerPath {
        InnerPath::parse(Path::new(path)).unwrap()
    }

    #[test]
    fn the_file_name_is_what_follows_the_last_slash_with_its_query() {
        for (value, name) in [
            ("http://h/a/hello.sh", "hello.sh"),
            ("  http://h/a.tgz?x=1", "a.tgz?x=1"),
            ("file:///opt/a.txt", "a.txt"),
            ("file://localhost/opt/a.txt", "a.txt"),
            ("/opt/b", "b"),
        ] {
            assert_eq!(item(&uri(value), None).unwrap().target, inner(name));
        }
    }

    #[test]
    fn an_executable_or_unextracted_archive_is_kept_as_it_is() {
        let mut archive = uri("http://h/a.tar.xz");
        archive.extract = Some(false);
        assert_eq!(item(&archive, None).unwrap().then, Then::Keep);
        archive.extract = Some(true);
        archive.executable = true;
        assert_eq!(item(&archive, None).unwrap().then, Then::MakeExecutable);
    }

    #[test]
    fn the_output_file_names_the_target_and_decides_about_unpacking() {
        let mut named = uri("http://h/get?id=7");
        named.output_file = Some("lib/app.tgz".into());
        let item = item(&named, None).unwrap();
        assert_eq!(item.target, inner("lib/app.tgz"));
        assert_eq!(item.then, Then::Unpack(Format::Tar(Some(Codec::Gzip))));
    }

    #[test]
    fn a_relative_path_lies_below_the_frameworks_home() {
        let home = Path::new("/srv/home");
        let found = item(&uri("tools/x"), Some(home)).unwrap();
        assert_eq!(found.source, Source::File("/srv/home/tools/x".into()));
        assert_eq!(item(&uri("tools/x"), None), Err(BadUri::NoHome));
    }

    #[test]
    fn a_bad_uri_is_refused_with_the_reason() {
        for (value, why) in [
            ("", BadUri::Empty),
            ("http://h/a\\b", BadUri::Character('\\')),
            ("http://h/a'b", BadUri::Character('\'')),
            ("http://h/a\nFetched", BadUri::Character('\n')),
            ("http://h", BadUri::NoPath),
            ("http://h/", BadUri::NoPath),
            ("http://h/dir/", BadUri::NoName),
            ("http://h/..", BadUri::Name(BadPath::Parent)),
            ("http://h/stderr", BadUri::Name(BadPath::Log)),
            ("gopher://h/a", BadUri::Scheme("gopher".to_owned())),
            ("s3://bucket", BadUri::NoPath),
            ("ftp://h", BadUri::NoPath),
            ("ftp://h/a%0aDELE", BadUri::Ftp(BadPlace::Control)),
            ("s3:///key", BadUri::NoPath),
            ("hdfs://nn/", BadUri::NoPath),
            ("hdfs:///x", BadUri::NoPath),
            ("file://host/a", BadUri::RemoteFile),
        ] {
            assert_eq!(item(&uri(value), None), Err(why), "{value:?}");
        }
    }

    #[test]
    fn only_an_archive_that_is_cached_can_be_kept_unpacked() {
        let asked = |value: &str, cache, extract| {
            let asked = Uri {
                cache,
                extract,
                ..uri(value)
            };
            item(&asked, None).map(|item| item.unpacked)
        };
        let (forced, never) = (Some(true), Some(false));
        assert_eq!(asked("http://h/a.tgz#unpacked", true, None), Ok(true));
        assert_eq!(asked("http://h/get#unpacked", true, forced), Ok(true));
        assert_eq!(asked("http://h/a.tgz", true, forced), Ok(false));
        for (value, cache, extract) in [
            ("http://h/a.tgz#unpacked", false, forced),
            ("http://h/a.tgz#unpacked", true, never),
            ("http://h/get#unpacked", true, None),
            ("http://h/a.jar#unpacked", true, forced),
            ("http://h/a.gz#unpacked", true, forced),
        ] {
            assert_eq!(asked(value, cache, extract), Err(BadUri::NotUnpacked));
        }
    }

    #[test]
    fn an_output_file_never_leaves_the_sandbox() {
        for (path, source) in [
            ("../x", BadPath::Parent),
            ("a/../../x", BadPath::Parent),
            ("/etc/passwd", BadPath::Absolute),
            ("", BadPath::Empty),
        ] {
            let mut named = uri("http://h/a");
            named.output_file = Some(path.into());
            let path = path.into();
            assert_eq!(item(&named, None), Err(BadUri::Output { path, source }));
        }
    }

    #[test]
    fn a_refusal_names_the_uri_and_the_remedy() {
        let request = Request {
            uris: vec![uri("rsync://h/a")],
            sandbox: "/sandbox".into(),
            user: None,
            frameworks_home: None,
            links: false,
            store: None,
        };
        assert_eq!(
            crate::chain(&plan(&request, &Policy::default()).unwrap_err()),
            "failed to fetch 'rsync://h/a': the scheme rsync is not supported: serve the file by http, \
             https, ftp, ftps, s3 or hdfs, or name a file on the agent's host"
        );
    }
}
