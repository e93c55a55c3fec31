//! `--chroot`: the directory that a child has for `/`. An empty one will do: a child opens no files.
//!
//! Only children go there: the parent reads its files again at a reload, by their usual paths.
//!
//! - Manual: chroot(2), open(2) (O_PATH), capabilities(7) (CAP_SYS_CHROOT)

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, chroot, faccessat, fchdir};

use super::Capabilities;
use crate::error::{During, Error, Result, describe, errno_of};
use crate::lesson;

/// Held open: it stays that directory, whatever its name leads to later.
#[derive(Debug)]
pub struct Root {
    dir: File,
    path: PathBuf,
}

impl Root {
    /// Opens it while we are still who we were started as.
    pub fn open(path: &Path) -> Result<Root> {
        let how = libc::O_PATH | libc::O_DIRECTORY;
        let dir = OpenOptions::new().read(true).custom_flags(how).open(path).map_err(|error| Error::File {
            path: path.into(),
            what: "directory for --chroot",
            reason: describe(errno_of(&error)),
            hint: "--chroot에는 이미 있는 디렉터리의 경로를 지정하십시오. 비어 있는 디렉터리면 됩니다.".into(),
        })?;
        if !Capabilities::of_this_process().during("capget", "")?.let_enter() {
            return Err(Error::Refused {
                what: format!("--chroot {}", path.display()),
                reason: describe(Errno::EPERM),
                hint: "루트 디렉터리를 바꾸려면 root로 시작해야 합니다 (CAP_SYS_CHROOT). 서버는 --user로 정한 사용자가 된 뒤에도 이 권한 하나만 남겨 두고, 자식은 들어간 뒤에 그것도 버립니다.".into(),
            });
        }
        Ok(Root { dir: lesson::out_of_the_way(dir.into()).into(), path: path.into() })
    }

    /// As who we have become: whether a child could go there. Better now than at each connection.
    pub fn can_be_entered(&self) -> Result<()> {
        faccessat(&self.dir, ".", AccessFlags::X_OK, AtFlags::empty()).map_err(|errno| Error::File {
            path: self.path.clone(),
            what: "directory for --chroot",
            reason: describe(errno),
            hint: "--user로 정한 사용자가 들어갈 수 있는(x 권한) 디렉터리여야 합니다.".into(),
        })
    }

    /// In a child.
    pub fn enter(&self) -> nix::Result<()> {
        Capabilities::to_enter(true).take()?;
        fchdir(&self.dir)?;
        chroot(".")
    }
}
