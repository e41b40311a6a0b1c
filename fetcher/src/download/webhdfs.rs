//! Files of HDFS, by the HTTP that its name nodes speak. Source: "WebHDFS REST API", Apache Hadoop 3.

use reqwest::Url;

/// One file, and the name node that is asked where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HdfsFile {
    pub scheme: &'static str,
    /// With its port.
    pub name_node: String,
    pub path: String,
}

/// Where name nodes listen for HTTP when nobody says anything else.
const HTTP_PORT: u16 = 9870;
/// Where they listen for Hadoop's own clients, which is what people write into URIs.
const RPC_PORTS: [&str; 3] = ["8020", "9000", "9820"];

impl HdfsFile {
    /// Of `hdfs://…`, `webhdfs://…` or `swebhdfs://…`; `None` for other schemes.
    pub fn parse(scheme: &str, authority: &str, path: &str) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let name_node = match (scheme, port) {
            ("hdfs", Some(port)) if RPC_PORTS.contains(&port) => format!("{host}:{HTTP_PORT}"),
            (_, None) => format!("{host}:{HTTP_PORT}"),
            (_, Some(port)) => format!("{host}:{port}"),
        };
        let scheme = match scheme {
            "hdfs" | "webhdfs" => "http",
            "swebhdfs" => "https",
            _ => return None,
        };
        Some(Self {
            scheme,
            name_node,
            path: path.to_owned(),
        })
    }

    pub fn url(&self, user: Option<&str>) -> Result<Url, Box<dyn std::error::Error + Send + Sync>> {
        let base = format!("{}://{}/webhdfs/v1", self.scheme, self.name_node);
        let mut url = Url::parse(&base)?;
        let path = format!("/webhdfs/v1{}", self.path);
        url.set_path(&path);
        let mut query = url.query_pairs_mut();
        query.append_pair("op", "OPEN");
        if let Some(user) = user {
            query.append_pair("user.name", user);
        }
        drop(query);
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scheme: &str, authority: &str) -> String {
        let file = HdfsFile::parse(scheme, authority, "/jars/a b.tgz").unwrap();
        file.url(Some("hadoop")).unwrap().to_string()
    }

    #[test]
    fn the_name_node_is_asked_where_it_listens_for_http() {
        let rest = "webhdfs/v1/jars/a%20b.tgz?op=OPEN&user.name=hadoop";
        for (scheme, authority, start) in [
            ("hdfs", "nn", "http://nn:9870/"),
            ("hdfs", "nn:8020", "http://nn:9870/"),
            ("hdfs", "nn:50070", "http://nn:50070/"),
            ("webhdfs", "nn:8020", "http://nn:8020/"),
            ("swebhdfs", "nn:9871", "https://nn:9871/"),
        ] {
            assert_eq!(url(scheme, authority), format!("{start}{rest}"));
        }
        assert_eq!(HdfsFile::parse("http", "nn", "/x"), None);
    }
}
