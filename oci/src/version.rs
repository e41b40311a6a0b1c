//! `--version`: the lines that engines look for.

use std::sync::LazyLock;

/// Of the OCI runtime spec.
pub const SPEC: &str = "1.2.0";

/// What follows the program's name.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // Who builds a release says what of.
        let commit = option_env!("LONGSHORE_COMMIT").unwrap_or("unknown");
        let version = env!("CARGO_PKG_VERSION");
        format!("version {version}\ncommit: {commit}\nspec: {SPEC}")
    });
    &TEXT
}
