//! What a client wants embedded in an answer.

use endpoint::Query;

/// Whether `what` is embedded, with or without one of the prefixes clients use.
pub fn embeds(query: &Query, what: &str) -> bool {
    let bare = |value: &str| {
        let prefixes = ["group.apps.", "apps.", "app."];
        prefixes
            .iter()
            .find_map(|p| value.strip_prefix(p))
            .unwrap_or(value)
            == what
    };
    query.all("embed").any(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeds_are_read_in_every_spelling() {
        let query = Query::parse("embed=apps.tasks&embed=app.counts&embed=group.apps.deployments");
        assert!(
            ["tasks", "counts", "deployments"]
                .iter()
                .all(|what| embeds(&query, what))
        );
        assert!(!embeds(&query, "lastTaskFailure"));
    }
}
