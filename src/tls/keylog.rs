//! `--keylog`: the secrets of every connection, written down for Wireshark.
//!
//! Two consents are needed: the option, and SSLKEYLOGFILE in the environment, as browsers and curl know
//! it. Children share the one file: O_APPEND and one write(2) a line keep their lines whole.
//!
//! - Manual: SSL_CTX_set_keylog_callback(3ssl), open(2) (O_APPEND, O_NOFOLLOW)
//! - Standard: RFC 9850 (the file's format: `LABEL client_random secret`)

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openssl::ssl::SslContextBuilder;

use super::pem::file_error;
use crate::error::{Result, describe, errno_of};

const VARIABLE: &str = "SSLKEYLOGFILE";

/// The open file, for as long as contexts are made with it.
#[derive(Clone, Debug)]
pub struct KeyLog {
    file: Arc<File>,
    path: PathBuf,
}

impl KeyLog {
    /// Opens the file that SSLKEYLOGFILE names: once, before the port opens.
    pub fn open() -> Result<KeyLog> {
        match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => KeyLog::open_file(Path::new(&path)),
            None => Err(file_error(
                Path::new(VARIABLE),
                "environment variable",
                "not set, and --keylog needs it".into(),
                "TLS 키를 기록할 파일을 환경 변수로 지정하십시오. 예를 들어 실행할 명령 앞에 SSLKEYLOGFILE=keys.log라고 적습니다.",
            )),
        }
    }

    /// Whoever could put a link or a pipe there would decide where the secrets go.
    fn open_file(path: &Path) -> Result<KeyLog> {
        let failed = |reason| {
            let hint = "SSLKEYLOGFILE에는 일반 파일의 경로를 지정하십시오. 심볼릭 링크나 장치, 파이프는 쓸 수 없고, 디렉터리는 미리 만들어 두어야 합니다.";
            file_error(path, "key log", reason, hint)
        };
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY; // O_CLOEXEC is std's own
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
        let file = file.map_err(|error| failed(describe(errno_of(&error))))?;
        let meta = file.metadata().map_err(|error| failed(describe(errno_of(&error))))?;
        if !meta.is_file() {
            return Err(failed("not a regular file".into()));
        }
        if meta.permissions().mode() & 0o077 != 0 {
            log::warn!("key log {} can be read by other users: chmod 600 it", path.display());
        }
        Ok(KeyLog { file: Arc::new(file), path: path.into() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has every connection of the context write its secrets down.
    pub(super) fn attach(&self, builder: &mut SslContextBuilder) {
        let (log, failed) = (self.clone(), AtomicBool::new(false));
        builder.set_keylog_callback(move |_, line| {
            if let Err(reason) = log.write(line) {
                if !failed.swap(true, Ordering::Relaxed) {
                    log::warn!("key log {}: {reason}", log.path.display());
                }
            }
        });
    }

    /// One line in one write(2). What does not fit on a full disk is lost: no connection waits for it.
    fn write(&self, line: &str) -> std::result::Result<(), String> {
        let line = format!("{line}\n");
        match (&*self.file).write(line.as_bytes()) {
            Ok(n) if n == line.len() => Ok(()),
            Ok(n) => Err(format!("only {n} of {} bytes written", line.len())),
            Err(error) => Err(describe(errno_of(&error))),
        }
    }
}

impl AsFd for KeyLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
