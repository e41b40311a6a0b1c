//! Archives into a sandbox, against the programs that people would use in a shell: `curl | tar`, and `curl`
//! with `unzip`. The same files from the same server, in turn. Then what the cache hands out, also where blocks of
//! files can be shared, on an XFS of its own; and what a fetch child holds in memory.
//!
//! `cargo bench -p fetcher --bench fetch`, as root for what another user gets. `-- a.tar cache` measures these alone,
//! and a name that is none gives the list. All of it takes about four minutes, of which one makes the archives.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is for reading"
)]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fetcher::{Cache, Fetcher, Request, Settings, Uri};
use nix::sys::resource::{UsageWho, getrusage};

/// Of each archive, in turn with those of others; less of what takes long.
const ROUNDS: usize = 5;
const LEAST_ROUNDS: usize = 3;
/// After which an archive's least rounds are enough.
const ENOUGH: Duration = Duration::from_secs(15);
const FILES: usize = 1500;
/// Together.
const BYTES: usize = 160 << 20;
const CACHED_BYTES: u64 = 500 << 20;
const USER: u32 = 65_534;

/// What is measured beside archives.
const CACHE: &str = "cache";
/// What others are made of.
const PLAIN: &str = "a.tar";
/// What the cache is asked for.
const CACHED: &str = "a.tar.gz";

/// How an archive is made from the tree, and unpacked by others; `@` is its URL. By xz with little effort: more of
/// it takes minutes here, and is decoded no slower.
#[rustfmt::skip] // An archive is a row.
const ARCHIVES: &[(&str, &str, &str)] = &[
    (PLAIN, "tar -C tree -cf a.tar .", "curl -sf @ | tar -x"),
    (CACHED, "gzip <a.tar >a.tar.gz", "curl -sf @ | tar -xz"),
    ("a.zip", "cd tree && zip -qr ../a.zip .", "curl -sfO @ && unzip -q a.zip"),
    ("a.tar.bz2", "bzip2 <a.tar >a.tar.bz2", "curl -sf @ | tar -xj"),
    ("a.tar.xz", "xz -T1 -0 <a.tar >a.tar.xz", "curl -sf @ | tar -xJ"),
    ("blocks.tar.xz", "xz -T2 -0 --block-size=8MiB <a.tar >blocks.tar.xz", "curl -sf @ | tar -xJ"),
    ("a.tar.zst", "zstd -q <a.tar >a.tar.zst", "curl -sf @ | tar -x --zstd"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "child") {
        let status = fetcher::child_main();
        // To the sandbox's stderr: nothing else is open to it any more.
        let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        eprintln!("{PEAK}{}", used.max_rss());
        std::process::exit(status);
    }
    let asked = match Asked::of(&arguments) {
        Ok(asked) => asked,
        Err(name) => {
            eprintln!("nothing is called {name:?}; what is: {}", all().join(" "));
            std::process::exit(2);
        }
    };
    // Where sandboxes are: on a disk.
    let work = tempfile::tempdir_in("/var/tmp").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        make(work.path(), &asked);
        archives(work.path(), &asked).await;
        if asked.for_one(CACHE) {
            cache(work.path()).await;
        }
    });
}

/// What is to be measured, by its name; nothing said is all.
struct Asked(Vec<String>);

impl Asked {
    /// Or a name that nothing has.
    fn of(arguments: &[String]) -> Result<Self, String> {
        let words = arguments.iter().skip(1);
        // Cargo says --bench.
        let named: Vec<String> = words.filter(|it| !it.starts_with('-')).cloned().collect();
        match named.iter().find(|it| !all().contains(&it.as_str())) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self(named)),
        }
    }

    fn for_one(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|asked| asked == name)
    }
}

fn all() -> Vec<&'static str> {
    let archives = ARCHIVES.iter().map(|(name, ..)| *name);
    archives.chain([CACHE]).collect()
}

/// What is asked for, and what that is made of, on all processors.
fn make(work: &Path, asked: &Asked) {
    let began = Instant::now();
    tree(&work.join("tree"));
    let is_wanted =
        |name: &str| name == PLAIN || asked.for_one(name) || name == CACHED && asked.for_one(CACHE);
    let (plain, others): (Vec<_>, Vec<_>) = ARCHIVES
        .iter()
        .filter(|(name, ..)| is_wanted(name))
        .partition(|(name, ..)| *name == PLAIN);
    for (_, make, _) in plain {
        run(make, work);
    }
    let waiting = Mutex::new(others);
    let next = || waiting.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some((_, make, _)) = next() {
                    run(make, work);
                }
            });
        }
    });
    println!("made in {:.0} s", began.elapsed().as_secs_f64());
}

/// Before the most that the child has had in memory, in KiB.
const PEAK: &str = "peak ";

struct Bench {
    work: PathBuf,
    sandboxes: Cell<usize>,
    fetcher: Fetcher,
}

impl Bench {
    fn new(work: &Path, cache: bool) -> Bench {
        let own = std::env::current_exe().unwrap();
        let helper = [&own, Path::new("child")];
        let helper = helper.map(|word| word.to_str().unwrap().to_owned());
        let cache = cache.then(|| Cache::open(work.join("cache"), 4 << 30).unwrap());
        Bench {
            work: work.to_owned(),
            sandboxes: Cell::new(0),
            fetcher: Fetcher::new(helper.to_vec(), Settings::default(), cache),
        }
    }

    /// Into a new sandbox; how long it took, and the child's peak in MiB.
    async fn fetch(&self, uri: Uri, user: Option<u32>) -> (Duration, f64) {
        let sandbox = self.new_sandbox();
        // Written by the child as itself, and the sandbox is its user's.
        let user = user.filter(|_| nix::unistd::geteuid().is_root());
        if let Some(uid) = user {
            chown(&sandbox, Some(uid), Some(uid)).unwrap();
        }
        let log = File::create(sandbox.join("stderr")).unwrap();
        let request = Request {
            uris: vec![uri],
            sandbox,
            user: user.map(|uid| (uid, uid, vec![uid])),
            frameworks_home: None,
            links: true,
            store: None,
        };
        let began = Instant::now();
        if let Err(error) = self.fetcher.fetch(&request, None, log).await {
            let said = fs::read_to_string(request.sandbox.join("stderr")).unwrap();
            panic!("{error}; it said: {said}");
        }
        let taken = began.elapsed();
        let said = fs::read_to_string(request.sandbox.join("stderr")).unwrap();
        let peak = said.lines().find_map(|line| line.strip_prefix(PEAK));
        let peak = peak.unwrap().parse::<f64>().unwrap() / 1024.0;
        (taken, peak)
    }

    /// The last one.
    fn sandbox(&self) -> PathBuf {
        self.work.join(format!("sandbox-{}", self.sandboxes.get()))
    }

    fn new_sandbox(&self) -> PathBuf {
        self.sandboxes.set(self.sandboxes.get() + 1);
        let sandbox = self.sandbox();
        fs::create_dir(&sandbox).unwrap();
        sandbox
    }

    /// Not between what is measured: for seconds ext4 takes more time to find a place beside what was just removed.
    fn clean(&self) {
        for number in 1..=self.sandboxes.replace(0) {
            fs::remove_dir_all(self.work.join(format!("sandbox-{number}"))).unwrap();
        }
    }

    fn shell(&self, command: &str) -> Duration {
        let sandbox = self.new_sandbox();
        let began = Instant::now();
        run(command, &sandbox);
        began.elapsed()
    }
}

fn run(command: &str, directory: &Path) {
    let status = Command::new("sh")
        .args(["-ec", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{command}");
}

fn uri(value: String) -> Uri {
    Uri {
        value,
        executable: false,
        extract: Some(true),
        cache: false,
        output_file: None,
    }
}

async fn archives(work: &Path, asked: &Asked) {
    let port = serve(work.to_owned());
    let bench = Bench::new(work, false);
    println!("{FILES} files of {} MiB, p50 in turn", BYTES >> 20);
    for (name, _, others) in ARCHIVES.iter().filter(|(name, ..)| asked.for_one(name)) {
        let url = format!("http://127.0.0.1:{port}/{name}");
        let (mut ours, mut theirs, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
        let began = Instant::now();
        while ours.len() < LEAST_ROUNDS || ours.len() < ROUNDS && began.elapsed() < ENOUGH {
            theirs.push(bench.shell(&others.replace('@', &url)));
            let (taken, held) = bench.fetch(uri(url.clone()), None).await;
            ours.push(taken);
            peak = peak.max(held);
        }
        let rounds = ours.len();
        let (ours, theirs) = (median(ours), median(theirs));
        let size = work.join(name).metadata().unwrap().len() >> 20;
        println!(
            "{name:<13} {size:>4} MiB: {ours:.2} s, {theirs:.2} s by {others:?}: {:.2}x (goal: 1.0) in {rounds} \
             rounds, {peak:.0} MiB held (goal: 32)",
            theirs / ours
        );
        bench.clean();
    }
}

async fn cache(work: &Path) {
    run(
        &format!("head -c {CACHED_BYTES} /dev/urandom >program"),
        work,
    );
    println!("where work is:");
    cached(work, work).await;
    match Shares::mount(work) {
        Ok(shares) => {
            println!("on XFS with reflinks:");
            cached(work, &shares.directory).await;
        }
        Err(why) => println!("not measured on a file system with reflinks: {why}"),
    }
}

/// What lies in `from`, by a cache and into sandboxes in `work`.
async fn cached(from: &Path, work: &Path) {
    let bench = Bench::new(work, true);
    let (file, archive) = (from.join("program"), from.join(CACHED));
    let named = |path: &Path, end: &str| format!("{}{end}", path.display());
    let mebibytes = CACHED_BYTES >> 20;
    #[rustfmt::skip] // What is asked for is a row.
    let asked = [
        (format!("a file of {mebibytes} MiB"), named(&file, ""), false, false, "program"),
        (format!("a program of {mebibytes} MiB"), named(&file, ""), true, false, "program"),
        (format!("{FILES} files of {} MiB, as an archive", BYTES >> 20), named(&archive, ""), false, true, "d0/f0"),
        ("the same, unpacked before".to_owned(), named(&archive, "#unpacked"), false, true, "d0/f0"),
    ];
    for (what, value, executable, extract, name) in asked {
        let mut uri = uri(value);
        (uri.cache, uri.executable, uri.extract) = (true, executable, Some(extract));
        bench.fetch(uri.clone(), Some(USER)).await;
        let (mut taken, mut peak) = (Vec::new(), 0.0_f64);
        for _ in 0..ROUNDS {
            let (one, held) = bench.fetch(uri.clone(), Some(USER)).await;
            taken.push(one);
            peak = peak.max(held);
        }
        let links = bench.sandbox().join(name).metadata().unwrap().nlink();
        bench.clean();
        println!(
            "{what} from the cache, {}: {:.1} ms of all, the child's start included{}, {peak:.0} MiB held",
            if links > 1 { "a link" } else { "no link" },
            median(taken) * 1000.0,
            if extract { "" } else { " (goal: 20)" },
        );
    }
}

/// A file system that shares blocks of files, in a file.
struct Shares {
    directory: PathBuf,
}

impl Shares {
    fn mount(work: &Path) -> Result<Self, String> {
        let (image, directory) = (work.join("xfs.img"), work.join("xfs"));
        fs::create_dir(&directory).unwrap();
        File::create(&image).unwrap().set_len(4 << 30).unwrap();
        let (from, to) = (image.display(), directory.display());
        for command in [
            format!("mkfs.xfs -q -m reflink=1 {from}"),
            format!("mount -o loop {from} {to}"),
        ] {
            let done = Command::new("sh").args(["-c", &command]).output().unwrap();
            if !done.status.success() {
                return Err(format!(
                    "{command}: {}",
                    String::from_utf8_lossy(&done.stderr)
                ));
            }
        }
        Ok(Self { directory })
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        run(
            &format!("umount {}", self.directory.display()),
            Path::new("/"),
        );
    }
}

/// Files of all sizes, half of them text, half of them like programs.
fn tree(root: &Path) {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<String> = (0..4000)
        .map(|_| format!("{:x} ", next() % 0xf_ffff))
        .collect();
    for number in 0..FILES {
        let directory = root.join(format!("d{}", number % 40));
        fs::create_dir_all(&directory).unwrap();
        // On average as many as it takes.
        let length = (next() as usize) % (2 * BYTES / FILES);
        let mut content = Vec::with_capacity(length + 32);
        while content.len() < length {
            match number % 2 {
                0 => content.extend(words[next() as usize % 4000].bytes()),
                _ => {
                    content.extend(next().to_le_bytes());
                    content.extend([0, 0, 0x48, 0x89, 0xe5, 0, 0, 0]);
                }
            }
        }
        fs::write(directory.join(format!("f{number}")), content).unwrap();
    }
}

/// Files of a directory by HTTP, a connection each; gives the port.
fn serve(directory: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let directory = directory.clone();
            // Whoever asked may have gone.
            std::thread::spawn(move || answer(connection?, &directory));
        }
    });
    port
}

fn answer(mut to: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(to.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let asked = first.split(' ').nth(1).unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let mut file = File::open(directory.join(asked.trim_start_matches('/')))?;
    let length = file.metadata()?.len();
    write!(
        to,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    std::io::copy(&mut file, &mut to).map(drop)
}

fn median(mut taken: Vec<Duration>) -> f64 {
    taken.sort();
    taken[taken.len() / 2].as_secs_f64()
}
