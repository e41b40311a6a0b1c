//! The fetch child as a program of its own, for tests of `fetch`.

fn main() {
    std::process::exit(fetcher::child_main());
}
