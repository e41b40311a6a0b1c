//! Paths of the API. Ids of apps are paths themselves, so routes are read from both ends.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Ping,
    Metrics,
    Info,
    Events,
    Leader,
    Apps,
    App(String),
    /// All apps below a group.
    AppsBelow(String),
    Restart(String),
    AppTasks(String),
    TasksBelow(String),
    AppTask(String, String),
    Versions(String),
    Version(String, String),
    Tasks,
    TasksDelete,
    Deployments,
    Deployment(String),
    Queue,
    QueueDelay(String),
    Group(String),
    GroupApps(String),
    GroupVersions(String),
    GroupVersion(String, String),
}

/// Doubled and trailing slashes do not count, and `%2F` is a slash like any other.
pub fn route(path: &str) -> Option<Route> {
    let decoded = endpoint::path::decoded(path)?;
    let segments: Vec<&str> = decoded.split('/').filter(|s| !s.is_empty()).collect();
    // A gateway in front may leave its prefix.
    let segments = match segments.as_slice() {
        ["service", _, rest @ ..] => rest,
        all => all,
    };
    let id = |segments: &[&str]| format!("/{}", segments.join("/"));
    Some(match segments {
        ["ping"] => Route::Ping,
        ["metrics"] => Route::Metrics,
        ["v2", "info"] => Route::Info,
        ["v2", "leader"] => Route::Leader,
        ["v2", "events"] => Route::Events,
        ["v2", "tasks"] => Route::Tasks,
        ["v2", "tasks", "delete"] => Route::TasksDelete,
        ["v2", "deployments"] => Route::Deployments,
        ["v2", "deployments", id] => Route::Deployment((*id).to_owned()),
        ["v2", "queue"] => Route::Queue,
        ["v2", "queue", app @ .., "delay"] if !app.is_empty() => Route::QueueDelay(id(app)),
        ["v2", "groups", group @ ..] => match group {
            [group @ .., "apps"] => Route::GroupApps(id(group)),
            [group @ .., "versions"] => Route::GroupVersions(id(group)),
            [group @ .., "versions", version] => {
                Route::GroupVersion(id(group), (*version).to_owned())
            }
            group => Route::Group(id(group)),
        },
        // Slides write `app` in the singular.
        ["v2", "apps" | "app", app @ ..] => match app {
            [] => Route::Apps,
            ["*"] => Route::AppsBelow("/".to_owned()),
            [group @ .., "*"] => Route::AppsBelow(id(group)),
            [group @ .., "*", "tasks"] => Route::TasksBelow(id(group)),
            [app @ .., "restart"] if !app.is_empty() => Route::Restart(id(app)),
            [app @ .., "tasks"] if !app.is_empty() => Route::AppTasks(id(app)),
            [app @ .., "tasks", task] if !app.is_empty() => {
                Route::AppTask(id(app), (*task).to_owned())
            }
            [app @ .., "versions"] if !app.is_empty() => Route::Versions(id(app)),
            [app @ .., "versions", version] if !app.is_empty() => {
                Route::Version(id(app), (*version).to_owned())
            }
            app => Route::App(id(app)),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_clients_expect() {
        let text = str::to_owned;
        let table = [
            ("/v2/apps", Some(Route::Apps)),
            ("/v2/apps/", Some(Route::Apps)),
            ("/v2/apps//a/b", Some(Route::App(text("/a/b")))),
            ("/v2/apps/%2Fa%2Fb", Some(Route::App(text("/a/b")))),
            ("/v2/app/a/", Some(Route::App(text("/a")))),
            ("/service/marathon/v2/apps/a", Some(Route::App(text("/a")))),
            ("/v2/apps/a/b/restart", Some(Route::Restart(text("/a/b")))),
            ("/v2/apps/a/tasks", Some(Route::AppTasks(text("/a")))),
            (
                "/v2/apps/a/tasks/t.1",
                Some(Route::AppTask(text("/a"), text("t.1"))),
            ),
            ("/v2/apps/a/b/*", Some(Route::AppsBelow(text("/a/b")))),
            ("/v2/apps/a/*/tasks", Some(Route::TasksBelow(text("/a")))),
            ("/v2/apps/a/versions", Some(Route::Versions(text("/a")))),
            (
                "/v2/apps/a/versions/V",
                Some(Route::Version(text("/a"), text("V"))),
            ),
            ("/v2/queue/a/b/delay", Some(Route::QueueDelay(text("/a/b")))),
            ("/v2/queue//a/delay", Some(Route::QueueDelay(text("/a")))),
            ("/v2/tasks/delete", Some(Route::TasksDelete)),
            ("/v2/deployments/x", Some(Route::Deployment(text("x")))),
            ("/v2/groups", Some(Route::Group(text("/")))),
            ("/v2/groups//g/", Some(Route::Group(text("/g")))),
            ("/v2/groups/apps", Some(Route::GroupApps(text("/")))),
            ("/v2/groups/g/h/apps", Some(Route::GroupApps(text("/g/h")))),
            ("/v2/groups/versions", Some(Route::GroupVersions(text("/")))),
            (
                "/v2/groups/g/versions/V",
                Some(Route::GroupVersion(text("/g"), text("V"))),
            ),
            ("/v2/events", Some(Route::Events)),
            ("/v3/apps", None),
            ("/", None),
            ("/%ff", None),
        ];
        for (path, expected) in table {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
