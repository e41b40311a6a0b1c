//! For tests: a process that holds up whoever opens or executes a file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Holds the lease until it is dropped.
#[derive(Debug)]
pub struct Lease(Child);

/// F_SETLEASE of F_WRLCK: an open waits until it is given up, which this holder never does, or for
/// /proc/sys/fs/lease-break-time, 45 seconds.
const HOLDER: &str = r#"
    $SIG{IO} = "IGNORE"; $| = 1;
    open(my $file, "<", $ARGV[0]) or die; fcntl($file, 1024, 1) or die;
    print "leased\n"; sleep 1000;
"#;

impl Lease {
    /// Needs perl, which every Debian has: neither std nor busybox can take a lease.
    pub fn take(file: &Path) -> Lease {
        let mut perl = Command::new("perl");
        let perl = perl.args(["-e", HOLDER]).arg(file).stdout(Stdio::piped());
        let mut holder = perl.spawn().expect("perl starts");
        let mut line = String::new();
        let mut told = BufReader::new(holder.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        assert_eq!(line, "leased\n");
        Lease(holder)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
