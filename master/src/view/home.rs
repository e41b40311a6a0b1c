//! A plain page for people: agents, frameworks and tasks.

use std::fmt::Write as _;

use super::{About, used_on};
use crate::cluster::{Agent, Cluster, Framework, Link};

const STYLE: &str = "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:0 0 2em}\
    th,td{text-align:left;padding:.3em 1em;border-bottom:1px solid #ccc}";

pub fn page(cluster: &Cluster, about: &About) -> String {
    let name = about.cluster.as_deref().unwrap_or("Longshore");
    let mut page = format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body><h1>{name}</h1><p>master {} at {}</p>",
        escape(cluster.master_id()),
        escape(&about.endpoint),
        name = escape(name),
    );
    let agents = cluster
        .agents
        .values()
        .map(|agent| agent_row(cluster, agent));
    table(
        &mut page,
        "Agents",
        &["id", "host", "state", "resources", "used"],
        agents,
    );
    let frameworks = cluster.frameworks.values().map(framework_row);
    table(
        &mut page,
        "Frameworks",
        &["id", "name", "user", "state", "tasks"],
        frameworks,
    );
    let tasks = cluster
        .frameworks
        .values()
        .flat_map(|framework| framework.tasks.values());
    let tasks = tasks.map(|task| {
        let state = task.wire.state().as_str_name().to_owned();
        [
            task.id.to_string(),
            task.wire.name.clone(),
            state,
            task.agent.to_string(),
            task.resources.to_string(),
        ]
    });
    table(
        &mut page,
        "Tasks",
        &["id", "name", "state", "agent", "resources"],
        tasks,
    );
    page.push_str("</body></html>\n");
    page
}

fn agent_row(cluster: &Cluster, agent: &Agent) -> [String; 5] {
    let state = match agent.link {
        Link::Up { .. } => "active",
        Link::Down { .. } => "disconnected",
    };
    [
        agent.id.to_string(),
        format!("{}:{}", agent.info.hostname, agent.address.port),
        state.to_owned(),
        agent.total.to_string(),
        used_on(cluster, agent).to_string(),
    ]
}

fn framework_row(framework: &Framework) -> [String; 5] {
    let state = if framework.stream().is_some() {
        "active"
    } else {
        "disconnected"
    };
    [
        framework.id.to_string(),
        framework.info.name.clone(),
        framework.info.user.clone(),
        state.to_owned(),
        framework.tasks.len().to_string(),
    ]
}

fn table<const N: usize>(
    page: &mut String,
    title: &str,
    heads: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let cells = |row: &[String], tag: &str| -> String {
        row.iter().fold(String::new(), |mut cells, cell| {
            // Writing to a String cannot fail.
            let _ = write!(cells, "<{tag}>{}</{tag}>", escape(cell));
            cells
        })
    };
    let _ = write!(
        page,
        "<h2>{title}</h2><table><tr>{}</tr>",
        cells(&heads.map(String::from), "th")
    );
    for row in rows {
        let _ = write!(page, "<tr>{}</tr>", cells(&row, "td"));
    }
    page.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
