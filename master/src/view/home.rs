//! A plain page for people: agents, frameworks and tasks, with links to what the tasks wrote.

use std::fmt::Write as _;

use endpoint::query_value;

use super::{About, used_on};
use crate::cluster::{Agent, Cluster, Framework, Link, Task};

const STYLE: &str = "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:0 0 2em}\
    th,td{text-align:left;padding:.3em 1em;border-bottom:1px solid #ccc}";

/// Ended tasks that the page shows; `/tasks` has all that are remembered.
const ENDED_SHOWN: usize = 100;

/// What stands in one place of a table.
#[derive(Debug, PartialEq, Eq)]
enum Cell {
    Text(String),
    /// Labels, each with where it leads.
    Links(Vec<(String, String)>),
}

pub fn page(cluster: &Cluster, about: &About) -> String {
    let name = about.cluster.as_deref().unwrap_or("Longshore");
    let mut page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body><h1>{name}</h1><p>master {} at {}</p>",
        escape(cluster.master_id()),
        escape(&about.endpoint),
        name = escape(name),
    );
    let agents = cluster.agents.values().map(|it| agent_row(cluster, it));
    let heads = ["id", "host", "state", "resources", "used"];
    table(&mut page, "Agents", heads, agents);

    let frameworks = cluster.frameworks.values().map(framework_row);
    let heads = ["id", "name", "user", "state", "tasks"];
    table(&mut page, "Frameworks", heads, frameworks);

    let heads = ["id", "name", "state", "agent", "resources", "sandbox"];
    let frameworks = cluster.frameworks.values();
    let live = frameworks.flat_map(|f| f.tasks.values());
    let rows = live.map(|task| task_row(cluster, task));
    table(&mut page, "Tasks", heads, rows);

    let past = cluster.completed.iter().map(|past| &past.framework);
    let ended = cluster.frameworks.values().chain(past);
    let mut ended: Vec<&Task> = ended.flat_map(|f| f.completed.iter()).collect();
    ended.sort_by(|a, b| ended_at(b).total_cmp(&ended_at(a)));
    let rows = ended.into_iter().take(ENDED_SHOWN);
    let rows = rows.map(|task| task_row(cluster, task));
    table(&mut page, "Ended tasks, newest first", heads, rows);
    page.push_str("</body></html>\n");
    page
}

fn ended_at(task: &Task) -> f64 {
    let last = task.wire.statuses.last();
    last.and_then(|status| status.timestamp).unwrap_or(0.0)
}

fn agent_row(cluster: &Cluster, agent: &Agent) -> [Cell; 5] {
    let state = match (&agent.link, &agent.drain) {
        (Link::Down { .. }, _) => "disconnected",
        (Link::Up { .. }, None) => "active",
        (Link::Up { .. }, Some(drain)) => match drain.state() {
            proto::v1::DrainState::Drained => "drained",
            _ => "draining",
        },
    };
    let host = format!("{}:{}", agent.info.hostname, agent.address.port);
    [
        Cell::Text(agent.id.to_string()),
        Cell::Links(vec![(host, format!("http://{}/state", agent.authority()))]),
        Cell::Text(state.to_owned()),
        Cell::Text(agent.total.to_string()),
        Cell::Text(used_on(cluster, agent).to_string()),
    ]
}

fn framework_row(framework: &Framework) -> [Cell; 5] {
    let state = match framework.stream() {
        Some(_) => "active",
        None => "disconnected",
    };
    [
        Cell::Text(framework.id.to_string()),
        framework_name(&framework.info.name, framework.info.webui_url()),
        Cell::Text(framework.info.user.clone()),
        Cell::Text(state.to_owned()),
        Cell::Text(framework.tasks.len().to_string()),
    ]
}

/// A framework says where its own page is; a link may only lead to a page.
fn framework_name(name: &str, page: &str) -> Cell {
    let scheme = page.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("http" | "https") => Cell::Links(vec![(name.to_owned(), page.to_owned())]),
        Some(_) | None => Cell::Text(name.to_owned()),
    }
}

fn task_row(cluster: &Cluster, task: &Task) -> [Cell; 6] {
    let agent = cluster.agents.get(&task.agent);
    let host = agent.map_or(task.agent.as_str(), |agent| &agent.info.hostname);
    [
        Cell::Text(task.id.to_string()),
        Cell::Text(task.wire.name.clone()),
        Cell::Text(task.wire.state().as_str_name().to_owned()),
        Cell::Text(host.to_owned()),
        Cell::Text(task.resources.to_string()),
        agent.map_or(Cell::Links(Vec::new()), |agent| sandbox(agent, task)),
    ]
}

/// Links to the files API of the agent, which knows the newest run of an executor by this path.
/// The executor of a command task has the id of the task.
fn sandbox(agent: &Agent, task: &Task) -> Cell {
    let executor = task.wire.executor_id.as_ref();
    let executor = executor.map_or(task.id.as_str(), |id| id.value.as_str());
    let framework = &task.wire.framework_id.value;
    let path = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
    let authority = agent.authority();
    let link = |label: &str, ask: &str, file: &str| {
        let path = query_value(&format!("{path}{file}"));
        let target = format!("http://{authority}/files/{ask}?path={path}");
        (label.to_owned(), target)
    };
    Cell::Links(vec![
        link("files", "browse", ""),
        link("stdout", "download", "/stdout"),
        link("stderr", "download", "/stderr"),
    ])
}

fn table<const N: usize>(
    page: &mut String,
    title: &str,
    heads: [&str; N],
    rows: impl Iterator<Item = [Cell; N]>,
) {
    let heads: String = heads
        .iter()
        .map(|head| format!("<th>{head}</th>"))
        .collect();
    // Writing to a String cannot fail.
    let _ = write!(page, "<h2>{title}</h2><table><tr>{heads}</tr>");
    for row in rows {
        let cells: String = row
            .iter()
            .map(|cell| format!("<td>{}</td>", html(cell)))
            .collect();
        let _ = write!(page, "<tr>{cells}</tr>");
    }
    page.push_str("</table>");
}

fn html(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => escape(text),
        Cell::Links(links) => {
            let link = |(label, target): &(String, String)| {
                format!("<a href=\"{}\">{}</a>", escape(target), escape(label))
            };
            links.iter().map(link).collect::<Vec<_>>().join(" ")
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }

    #[test]
    fn a_framework_links_to_pages_only() {
        let page = "https://host:8080/ui";
        let links = Cell::Links(vec![("web".to_owned(), page.to_owned())]);
        assert_eq!(framework_name("web", page), links);
        for other in ["", "javascript:alert(1)", "data://x"] {
            let text = Cell::Text("web".to_owned());
            assert_eq!(framework_name("web", other), text, "{other}");
        }
    }
}
