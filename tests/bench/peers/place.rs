//! Where servers run: certificates and their files in a folder that goes with the run, and limits that are no limit.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::failure::{Result, failed};

pub struct Place {
    pub certs: PathBuf,
    /// For what the servers say, and for their files.
    pub dir: PathBuf,
    /// sockstep without what the trace costs, where it has been built.
    pub no_trace: Option<PathBuf>,
    _goes_with_it: TempDir,
}

impl Place {
    pub fn make() -> Result<Place> {
        // What a server leaves behind becomes ours: it is counted, and it is ended.
        set_child_subreaper(true)?;
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        let dir = tempfile::tempdir()?;
        let place =
            Place { certs: dir.path().join("certs"), dir: dir.path().into(), no_trace: None, _goes_with_it: dir };
        make_certs(&place.certs)?;
        Ok(place)
    }
}

fn make_certs(dir: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make-certs.sh");
    let made = Command::new(script).arg("-d").arg(dir).output()?;
    if made.status.success() { Ok(()) } else { failed(String::from_utf8_lossy(&made.stderr)) }
}
