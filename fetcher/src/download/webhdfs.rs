//! Files of HDFS, by the HTTP that its name nodes speak: what is asked, and what is answered. Pure. Source: "WebHDFS
//! REST API", Apache Hadoop 3.

use std::collections::BTreeMap;

use reqwest::Url;

use super::DownloadError;
use crate::cache::Validators;

/// One file, and who is asked where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HdfsFile {
    scheme: Scheme,
    /// Name nodes of one service, one of which has the say; or the name of that service.
    authorities: Vec<String>,
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Hdfs,
    WebHdfs,
    SecureWebHdfs,
}

type BadUrl = Box<dyn std::error::Error + Send + Sync>;

/// Where name nodes listen for HTTP when nobody says anything else.
const HTTP_PORT: u16 = 9870;
/// Where they listen for Hadoop's own clients, which is what people write into URIs.
const RPC_PORTS: [&str; 3] = ["8020", "9000", "9820"];

impl HdfsFile {
    /// Of `hdfs://…`, `webhdfs://…` or `swebhdfs://…`; `None` for other schemes. There may be several name
    /// nodes, with commas between them.
    pub fn parse(scheme: &str, authority: &str, path: &str) -> Option<Self> {
        let scheme = match scheme {
            "hdfs" => Scheme::Hdfs,
            "webhdfs" => Scheme::WebHdfs,
            "swebhdfs" => Scheme::SecureWebHdfs,
            _ => return None,
        };
        Some(Self {
            scheme,
            authorities: authority.split(',').map(str::to_owned).collect(),
            path: path.to_owned(),
        })
    }

    /// One for each name node, of the file as such. `services` has those that are one together, by their common name.
    pub fn urls(
        &self,
        user: Option<&str>,
        services: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<Url>, BadUrl> {
        let service = match &self.authorities[..] {
            [name] => services.get(name),
            _ => None,
        };
        let nodes = service.unwrap_or(&self.authorities);
        nodes.iter().map(|node| self.url(node, user)).collect()
    }

    fn url(&self, authority: &str, user: Option<&str>) -> Result<Url, BadUrl> {
        let scheme = match self.scheme {
            Scheme::Hdfs | Scheme::WebHdfs => "http",
            Scheme::SecureWebHdfs => "https",
        };
        let node = self.node(authority);
        let mut url = Url::parse(&format!("{scheme}://{node}/webhdfs/v1"))?;
        let path = format!("/webhdfs/v1{}", self.path);
        url.set_path(&path);
        if let Some(user) = user {
            url.query_pairs_mut().append_pair("user.name", user);
        }
        Ok(url)
    }

    /// With its port.
    fn node(&self, authority: &str) -> String {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        match (self.scheme, port) {
            (Scheme::Hdfs, Some(port)) if RPC_PORTS.contains(&port) => {
                format!("{host}:{HTTP_PORT}")
            }
            (_, None) => format!("{host}:{HTTP_PORT}"),
            (_, Some(port)) => format!("{host}:{port}"),
        }
    }
}

/// Asks what is known of a file.
pub fn status(file: &Url) -> Url {
    let mut url = file.clone();
    url.query_pairs_mut().append_pair("op", "GETFILESTATUS");
    url
}

/// Asks for a file from byte `at` on.
pub fn open(file: &Url, at: u64) -> Url {
    let mut url = file.clone();
    url.query_pairs_mut().append_pair("op", "OPEN");
    if at > 0 {
        let at = at.to_string();
        url.query_pairs_mut().append_pair("offset", &at);
    }
    url
}

/// What a name node knows of a file. HDFS only ever appends to one, or replaces it: its length and the time of the
/// last write tell whether it is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus {
    pub length: u64,
    /// Milliseconds since 1970.
    modified: u64,
}

impl FileStatus {
    /// Source: section "File Status JSON Schema".
    pub fn parse(text: &[u8]) -> Option<Self> {
        let said: serde_json::Value = serde_json::from_slice(text).ok()?;
        let said = &said["FileStatus"];
        Some(Self {
            length: said["length"].as_u64()?,
            modified: said["modificationTime"].as_u64()?,
        })
    }

    pub fn validators(self) -> Validators {
        Validators {
            etag: Some(format!("{}-{}", self.length, self.modified)),
            last_modified: None,
        }
    }
}

/// What a name node says when it refuses. Source: section "Error Responses".
pub fn exception(text: &[u8]) -> Option<DownloadError> {
    let said: serde_json::Value = serde_json::from_slice(text).ok()?;
    let said = &said["RemoteException"];
    let shown = |key: &str| -> Option<String> {
        let text = said[key].as_str()?;
        Some(text.chars().filter(|c| !c.is_control()).take(500).collect())
    };
    let exception = shown("exception")?;
    if exception == "StandbyException" {
        return Some(DownloadError::Standby);
    }
    let message = shown("message").unwrap_or_default();
    Some(DownloadError::Hadoop { exception, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scheme: &str, authority: &str) -> String {
        let file = HdfsFile::parse(scheme, authority, "/jars/a b.tgz").unwrap();
        let services = BTreeMap::from([(
            "ours".to_owned(),
            vec!["nn1:8020".to_owned(), "nn2".to_owned()],
        )]);
        let urls = file.urls(Some("hadoop"), &services).unwrap();
        let urls: Vec<String> = urls.iter().map(Url::to_string).collect();
        urls.join(" ")
    }

    #[test]
    fn the_name_node_is_asked_where_it_listens_for_http() {
        let rest = "webhdfs/v1/jars/a%20b.tgz?user.name=hadoop";
        for (scheme, authority, start) in [
            ("hdfs", "nn", "http://nn:9870/"),
            ("hdfs", "nn:8020", "http://nn:9870/"),
            ("hdfs", "nn:50070", "http://nn:50070/"),
            ("webhdfs", "nn:8020", "http://nn:8020/"),
            ("swebhdfs", "nn:9871", "https://nn:9871/"),
        ] {
            assert_eq!(url(scheme, authority), format!("{start}{rest}"));
        }
        let both = format!("http://nn1:9870/{rest} http://nn2:9870/{rest}");
        for authority in ["nn1,nn2:9000", "ours"] {
            assert_eq!(url("hdfs", authority), both);
        }
        assert_eq!(HdfsFile::parse("http", "nn", "/x"), None);
    }

    #[test]
    fn a_file_is_asked_for_from_where_it_broke_off() {
        let file = Url::parse("http://nn:9870/webhdfs/v1/x?user.name=me").unwrap();
        let start = "http://nn:9870/webhdfs/v1/x?user.name=me&op=";
        assert_eq!(status(&file).as_str(), format!("{start}GETFILESTATUS"));
        assert_eq!(open(&file, 0).as_str(), format!("{start}OPEN"));
        assert_eq!(open(&file, 7).as_str(), format!("{start}OPEN&offset=7"));
    }

    #[test]
    fn a_files_status_is_its_length_and_when_it_was_written() {
        let told = br#"{"FileStatus":{"accessTime":1,"length":7,"modificationTime":1320173277227,"type":"FILE"}}"#;
        let found = FileStatus::parse(told).unwrap();
        assert_eq!(found.length, 7);
        assert_eq!(found.validators().etag.as_deref(), Some("7-1320173277227"));
        for bad in [
            "",
            "{}",
            r#"{"FileStatus":{"length":-1,"modificationTime":1}}"#,
        ] {
            assert_eq!(FileStatus::parse(bad.as_bytes()), None);
        }
    }
}
