//! The paths of the API.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Health,
    Version,
    Flags,
    State,
    Statistics,
    Containers,
    Inspect,
    ContainerizerDebug,
    Metrics,
    Drain,
    SystemStats,
    FilesBrowse,
    FilesRead,
    FilesDownload,
    FilesDebug,
    Executor,
}

/// Without prefix, suffix and trailing slash.
pub const ROUTES: &[(&str, Route)] = &[
    ("/health", Route::Health),
    ("/version", Route::Version),
    ("/flags", Route::Flags),
    ("/state", Route::State),
    ("/monitor/statistics", Route::Statistics),
    ("/containers", Route::Containers),
    ("/inspect", Route::Inspect),
    ("/containerizer/debug", Route::ContainerizerDebug),
    ("/metrics/snapshot", Route::Metrics),
    ("/drain", Route::Drain),
    ("/system/stats", Route::SystemStats),
    ("/files/browse", Route::FilesBrowse),
    ("/files/read", Route::FilesRead),
    ("/files/download", Route::FilesDownload),
    ("/files/debug", Route::FilesDebug),
    ("/api/v1/executor", Route::Executor),
];

impl Route {
    pub fn of(path: &str) -> Option<Route> {
        let path = endpoint::path::endpoint(path, "slave(1)")?;
        ROUTES
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, route)| *route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_found_in_every_spelling_and_nothing_else_is() {
        for (path, route) in ROUTES {
            for spelling in [
                (*path).to_owned(),
                format!("{path}.json"),
                format!("{path}/"),
                format!("/slave(1){path}"),
            ] {
                assert_eq!(Route::of(&spelling), Some(*route), "{spelling}");
            }
        }
        for path in [
            "",
            "/",
            "/slave(1)",
            "/states",
            "/state/x",
            "/roles",
            "/slave(2)/state",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
